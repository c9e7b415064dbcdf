"""Whether what scenarios expect is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bench.suite.estimates import cell_ratio, logs_of, mean_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.suite.cells import Cell
    from bench.suite.evaluating import Row
    from bench.suite.scenario import Expectation


class Outcome(StrEnum):
    """What became of an expectation in a cell."""

    KEPT = "kept"
    MISSED = "missed"
    UNKNOWN = "unknown"
    """A policy of it was not run, or has no such figure."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An expectation, held against a cell; the value is None when it is unknown."""

    cell: str
    expectation: Expectation
    value: float | None

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if self.value is None:
            return Outcome.UNKNOWN
        inside = self.expectation.low <= self.value <= self.expectation.high
        return Outcome.KEPT if inside else Outcome.MISSED

    @property
    def claim(self) -> str:
        """The expectation in words."""
        expected = self.expectation
        against = f" by that of {expected.against}" if expected.against else ""
        return (
            f"{expected.figure} of {expected.policy}{against}"
            f" within {expected.low:g}..{expected.high:g}"
        )


def judge(cells: Sequence[Cell], rows: Sequence[Row]) -> list[Verdict]:
    """Hold the rows against all that the scenarios of the cells expect."""
    by_cell: dict[str, list[Row]] = {}
    for row in rows:
        by_cell.setdefault(row.cell, []).append(row)
    return [
        Verdict(cell.name, expected, _value(by_cell.get(cell.name, []), cell.name, expected))
        for cell in cells
        for expected in cell.scenario.expect
        if not expected.loads or cell.load in expected.loads
    ]


def _value(rows: Sequence[Row], cell: str, expected: Expectation) -> float | None:
    if expected.against is not None:
        logs = logs_of(rows, expected.figure)
        return cell_ratio(logs, cell, expected.policy, expected.against)
    values = [row.figures[expected.figure] for row in rows if row.contender == expected.policy]
    mean = mean_of(expected.figure, values)
    return mean.mean if mean is not None else None
