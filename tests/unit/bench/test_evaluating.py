"""Runs of a small cell: the same whoever does them, with any router."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from bench.suite import CONTENDERS, Contender, controlled, evaluate
from controller.core.policy import Targets
from controller.policy.registry import REGISTRY
from scripts.check_docs import ROOT
from tests.unit.bench.small import small_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.core.policy import PolicyMemory

READY = [each for each in CONTENDERS.values() if not each.missing]


def test_rows_are_the_same_again_and_on_any_number_of_processes() -> None:
    """To the last bit, and in the order of cells, seeds and contenders."""
    cells = [small_cell(0.5), small_cell(0.9)]
    chosen = [CONTENDERS["ladder"], CONTENDERS["power_of_two"]]
    alone = evaluate(cells, chosen, processes=1)
    assert alone == evaluate(cells, chosen, processes=1)
    assert alone == evaluate(cells, chosen, processes=3)
    assert [(each.cell, each.seed, each.contender) for each in alone] == [
        (cell, seed, contender)
        for cell in ("small@0.5", "small@0.9")
        for seed in (1, 2)
        for contender in ("ladder", "power_of_two")
    ]


def test_every_contender_runs_or_says_why_not() -> None:
    """Whoever lacks its policy says so; the others serve all requests of the same arrivals."""
    rows = evaluate([small_cell(0.5)], READY, seeds=1, processes=1)
    assert {each.contender for each in rows} == {each.name for each in READY}
    assert all(each.figures["unfinished"] == 0.0 for each in rows)
    for each in CONTENDERS.values():
        assert bool(each.missing) == (
            each.name.startswith("capacity") and "capacity" not in REGISTRY
        )


def test_progress_is_told_until_all_is_done() -> None:
    """After each seed of each cell, with the share of the work that is done."""
    told: list[tuple[str, int, float]] = []
    evaluate(
        [small_cell(0.5), small_cell(0.9)],
        [CONTENDERS["jsq"]],
        processes=2,
        on_task=lambda task, share: told.append((task.cell.name, task.seed, share)),
    )
    assert len(told) == 4
    shares = [share for _, _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def limited(limit: int) -> Any:  # noqa: ANN401  # a policy of a class that cannot be pickled
    """A policy made by hand: equal weights, and so many requests in flight at most."""

    class Limited:
        name: ClassVar[str] = "limited"
        needs: ClassVar[frozenset[str]] = frozenset()

        def step(
            self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
        ) -> tuple[Targets, PolicyMemory]:
            limits = dict.fromkeys(signals, limit)
            weights = dict.fromkeys(signals, 100.0)
            return Targets(weights, max_conns=limits, admitted=limits), memory

        def neutral(self, backends: Sequence[str], memory: PolicyMemory) -> Mapping[str, float]:
            del memory
            return dict.fromkeys(backends, 100.0)

    return Limited()


def test_a_policy_made_by_hand_is_compared_with_any_use_of_its_limits() -> None:
    """Limits of two requests are ignored, spilt over, or turn most requests away."""
    chosen: list[Contender] = [
        controlled("ignoring", limited(2), when_full="ignore"),
        controlled("spilling", limited(2), when_full="spill"),
        controlled("shedding", limited(2), when_full="shed"),
    ]
    rows = evaluate([small_cell(0.5)], chosen, seeds=1, processes=2)
    shed = {each.contender: each.figures["shed"] for each in rows}
    assert shed["ignoring"] == shed["spilling"] == 0.0
    assert (shed["shedding"] or 0.0) > 0.1


def test_the_example_of_the_page_runs() -> None:
    """What docs/benchmarks.md shows of the programming interface can be pasted."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    (text,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    known: dict[str, Any] = {}
    exec(text, known)  # noqa: S102 - our own page
    assert {each.contender for each in known["rows"]} == {"least_conn", "calm ladder"}
