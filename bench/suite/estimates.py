"""What is estimated from rows: means with their ranges, and ratios between contenders.

Over the seeds of a cell the range is Student's, with 95 %: of the values for shares and counts, of
their logarithms for times, which differ by factors (so the mean of a time is its geometric mean).
Over cells it is a bootstrap: cells are drawn with replacement, and of each its seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bench.suite.figures import FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.suite.evaluating import Row

# Student's t, two-sided 95 %, by degrees of freedom; beyond the table 2 is close enough.
_T: Final = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_DRAWS: Final = 2000
_LOW, _HIGH = 2.5, 97.5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % range; without a range when there is but one value."""

    mean: float
    low: float
    high: float


def mean_of(figure: str, values: Sequence[float | None]) -> Estimate | None:
    """The mean of a figure over seeds; None when no run has it."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    kind = FIGURES[figure]
    if kind.unit == "s" and figure != "slo_back_s":
        logs = _mean_range([math.log(max(value, kind.floor)) for value in known])
        return Estimate(*(math.exp(value) for value in logs))
    mean, low, high = _mean_range(known)
    return Estimate(mean, max(0.0, low), min(1.0, high) if kind.unit == "share" else high)


def _mean_range(values: Sequence[float]) -> tuple[float, float, float]:
    count = len(values)
    mean = sum(values) / count
    if count == 1:
        return mean, mean, mean
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    half = (_T[count - 2] if count - 2 < len(_T) else 2.0) * deviation / math.sqrt(count)
    return mean, mean - half, mean + half


Logs = dict[str, dict[str, dict[int, float]]]
"""The logarithm of a figure by cell, contender and seed."""


def logs_of(rows: Iterable[Row], figure: str) -> Logs:
    """The logarithms of a figure, values below its floor taken for the floor."""
    floor = FIGURES[figure].floor
    logs: Logs = {}
    for row in rows:
        value = row.figures[figure]
        if value is not None:
            by_contender = logs.setdefault(row.cell, {})
            by_contender.setdefault(row.contender, {})[row.seed] = math.log(max(value, floor))
    return logs


def cell_ratio(logs: Logs, cell: str, contender: str, other: str) -> float | None:
    """The geometric mean of a contender's figure by another's, seed by seed."""
    ours, theirs = (logs.get(cell, {}).get(name, {}) for name in (contender, other))
    differences = [ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()]
    return math.exp(sum(differences) / len(differences)) if differences else None


@dataclass(frozen=True, slots=True)
class Ratios:
    """Geometric means over cells, each cell counting once.

    Attributes:
        cells: the cells in which every contender has the figure in every seed.
        left_out: the other ones.
        by_pair: of a contender's figure by another's.
    """

    cells: tuple[str, ...]
    left_out: tuple[str, ...]
    by_pair: Mapping[str, Mapping[str, Estimate]]


def ratios_of(rows: Sequence[Row], figure: str) -> Ratios:
    """The ratios between all contenders, with ranges."""
    logs = logs_of(rows, figure)
    names = tuple(dict.fromkeys(row.contender for row in rows))
    seeds: dict[str, set[int]] = {}
    for row in rows:
        seeds.setdefault(row.cell, set()).add(row.seed)
    kept, left_out, tables = [], [], []
    for cell, wanted in seeds.items():
        columns = [logs.get(cell, {}).get(name, {}) for name in names]
        if all(column.keys() == wanted for column in columns):
            kept.append(cell)
            tables.append(
                np.array([[column[seed] for column in columns] for seed in sorted(wanted)])
            )
        else:
            left_out.append(cell)
    by_pair: dict[str, dict[str, Estimate]] = {name: {} for name in names}
    if tables:
        means = np.mean([table.mean(axis=0) for table in tables], axis=0)
        drawn = _bootstrap(tables)
        for ours, name in enumerate(names):
            for theirs, other in enumerate(names):
                if ours != theirs:
                    ends = np.percentile(drawn[:, ours] - drawn[:, theirs], (_LOW, _HIGH))
                    difference = means[ours] - means[theirs]
                    low, mean, high = np.exp([ends[0], difference, ends[1]]).tolist()
                    by_pair[name][other] = Estimate(mean, low, high)
    return Ratios(tuple(kept), tuple(left_out), by_pair)


def _bootstrap(tables: Sequence[Any]) -> Any:  # noqa: ANN401  # arrays of logarithms
    """Means of logarithms by draw and contender; equal seeds of a cell stay together."""
    draw = np.random.Generator(np.random.PCG64(0))
    drawn = np.empty((_DRAWS, tables[0].shape[1]))
    for turn in range(_DRAWS):
        total = np.zeros(tables[0].shape[1])
        for cell in draw.integers(len(tables), size=len(tables)):
            table = tables[cell]
            total += table[draw.integers(len(table), size=len(table))].mean(axis=0)
        drawn[turn] = total / len(tables)
    return drawn
