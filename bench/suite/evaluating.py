"""Runs cells with contenders on several processes; the rows do not depend on how many."""

from __future__ import annotations

import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.suite.cells import Cell
    from bench.suite.contenders import Contender
    from bench.suite.figures import Figures


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one run: a cell, a contender, a seed."""

    cell: str
    contender: str
    seed: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class Task:
    """One seed of one cell, for all contenders; the same arrivals for each."""

    cell: Cell
    seed: int

    @property
    def work(self) -> float:
        """How much there is to do, as a number of requests."""
        return self.cell.rate * self.cell.scenario.duration_s

    def rows(self, contenders: Sequence[Contender]) -> list[Row]:
        """Run it."""
        workload = self.cell.workload(self.seed)
        return [
            Row(self.cell.name, each.name, self.seed, self.cell.figures(each, workload, self.seed))
            for each in contenders
        ]


def evaluate(
    cells: Sequence[Cell],
    contenders: Sequence[Contender],
    *,
    seeds: int | None = None,
    processes: int | None = None,
    on_task: Callable[[Task, float], None] | None = None,
) -> list[Row]:
    """Run every cell with every contender and seed, each on the same arrivals.

    Args:
        cells: what to run.
        contenders: the routers; those of `contenders.CONTENDERS`, or made by `controlled`.
        seeds: how many of each scenario's seeds; None for all.
        processes: how many at a time; None for one per core, 1 for none beside this one.
        on_task: called after each task with it and the share of the work that is done.

    Returns:
        The rows in the order of cells, seeds and contenders.
    """
    tasks = [Task(cell, seed) for cell in cells for seed in cell.scenario.seeds[:seeds]]
    total = math.fsum(task.work for task in tasks)
    found: dict[int, list[Row]] = {}
    for index, rows in _results(tasks, contenders, processes or len(os.sched_getaffinity(0))):
        found[index] = rows
        if on_task is not None:
            on_task(tasks[index], math.fsum(tasks[done].work for done in found) / total)
    return [row for index in range(len(tasks)) for row in found[index]]


def _results(
    tasks: Sequence[Task], contenders: Sequence[Contender], processes: int
) -> Iterator[tuple[int, list[Row]]]:
    """The rows of each task, in the order in which they are done."""
    # The longest ones first, so that no process is left alone with one at the end.
    order = sorted(range(len(tasks)), key=lambda index: -tasks[index].work)
    if processes == 1:
        for index in order:
            yield index, tasks[index].rows(contenders)
        return
    # Forked processes inherit what is given to `_begin`, so a policy made by hand need not be
    # one that can be pickled.
    executor = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(tasks, contenders),
    )
    try:
        futures = {executor.submit(_rows, index): index for index in order}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        executor.shutdown(cancel_futures=True)


_given: list[tuple[Sequence[Task], Sequence[Contender]]] = []


def _begin(tasks: Sequence[Task], contenders: Sequence[Contender]) -> None:
    """Keep what a new process is for."""
    _given[:] = [(tasks, contenders)]


def _rows(index: int) -> list[Row]:
    ((tasks, contenders),) = _given
    return tasks[index].rows(contenders)
