"""What a question is made of, and how it is played: a contender, a cell, a seed at a time."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from bench.suite import Cell, Contender, load_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from simulator.fleet.results import RunResult

Span = tuple[float, float]
"""From when to when arrivals count, in seconds."""

AFTER_WARMUP: Final[Span] = (60.0, 900.0)
# The large pool takes ten times as long as the others, and is less a matter of luck.
_SEEDS: Final = {"g": 2}
_SEEDS_ELSE: Final = 6


@dataclass(frozen=True, slots=True)
class Question:
    """Something that could be better, and what is compared to find out.

    Attributes:
        name: as commands and results call it.
        asked: the question in a sentence.
        groups: cells by the name under which their results are put together; all of one pool.
        contenders: what is compared in a cell, for a seed.
        reference: the contender that all others are compared with.
        figures: what is told of each, names of `FIGURES`.
        spans: which arrivals count, by name.
    """

    name: str
    asked: str
    groups: Mapping[str, Sequence[Cell]]
    contenders: Callable[[Cell, int], Sequence[Contender]]
    reference: str
    figures: tuple[str, ...]
    spans: Mapping[str, Span] = field(default_factory=lambda: {"after the warm-up": AFTER_WARMUP})


@dataclass(frozen=True, slots=True)
class Played:
    """The figures of one run, over one span."""

    group: str
    cell: str
    seed: int
    contender: str
    span: str
    figures: Mapping[str, float]


def cell_of(scenario: str, load: float) -> Cell:
    """A cell of the suite's scenarios, at any load."""
    (found,) = (each for each in load_all() if each.name == scenario)
    return Cell(found, load)


def cells(scenarios: Sequence[str], loads: Sequence[float]) -> tuple[Cell, ...]:
    """Scenarios at loads."""
    return tuple(cell_of(name, load) for name in scenarios for load in loads)


def varied(name: str, contender: Contender, **changes: Any) -> Contender:  # noqa: ANN401 - any field
    """A contender whose router has other values in some fields."""
    return Contender(name, lambda course: replace(contender.router(course), **changes))


def play(question: Question, processes: int, seeds: int | None = None) -> list[Played]:
    """Run everything that a question compares; the results do not depend on the processes."""
    tasks = [
        (question, group, number, seed)
        for group, members in question.groups.items()
        for number, cell in enumerate(members)
        for seed in cell.scenario.seeds[: seeds or _SEEDS.get(cell.scenario.pool, _SEEDS_ELSE)]
    ]
    # The longest ones first, so that no process is left alone with one at the end.
    order = sorted(range(len(tasks)), key=lambda index: -_work(tasks[index]))
    with multiprocessing.get_context("fork").Pool(
        processes, initializer=_begin, initargs=(tasks,)
    ) as pool:
        found = dict(zip(order, pool.imap(_task, order, chunksize=1), strict=True))
    return [played for index in range(len(tasks)) for played in found[index]]


Task = tuple[Question, str, int, int]

# Forked processes inherit what is given to them, so that a contender need not be pickled.
_tasks: list[Task] = []


def _begin(tasks: Sequence[Task]) -> None:
    _tasks[:] = tasks


def _work(task: Task) -> float:
    question, group, number, _ = task
    return question.groups[group][number].rate


def _task(index: int) -> list[Played]:
    question, group, number, seed = _tasks[index]
    cell = question.groups[group][number]
    workload = cell.workload(seed)
    return [
        Played(group, cell.name, seed, contender.name, span, figures)
        for contender in question.contenders(cell, seed)
        for span, figures in _figures(question, cell.play(contender, workload, seed))
    ]


def _figures(question: Question, result: RunResult) -> Iterator[tuple[str, dict[str, float]]]:
    for span, (start_s, end_s) in question.spans.items():
        summary = result.summary(start_s, end_s)
        found = {
            "goodput": summary.goodput,
            "shed": summary.shed / max(1, summary.requests),
            "ttft_mean_s": summary.ttft_mean_s,
            "ttft_p99_s": summary.ttft_p99_s,
            "e2e_mean_s": summary.e2e_mean_s,
            "e2e_p99_s": summary.e2e_p99_s,
            "reloads": float(summary.reloads),
        }
        yield span, {name: found[name] for name in question.figures}
