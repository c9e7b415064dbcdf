"""A contender compared with the reference, run by run, with the range that chance leaves.

A time is compared as a factor, a share or a count as a difference. Each cell counts once; the range
is a bootstrap over cells and, within them, seeds, and holds 95 %.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bench.suite.estimates import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.research.question import Played

_DRAWS: Final = 2000
_LOW, _HIGH = 2.5, 97.5
# Below a millisecond the model itself says nothing.
_LEAST_S: Final = 1e-3


def is_time(figure: str) -> bool:
    """Whether a figure is a time."""
    return figure.endswith("_s")


def table_of(played: Sequence[Played], contender: str, figure: str) -> np.ndarray[Any, Any]:
    """A contender's values by cell and seed, those of times as logarithms."""
    rows: dict[str, list[float]] = {}
    for each in played:
        if each.contender == contender:
            value = each.figures[figure]
            if is_time(figure):
                value = math.log(max(value, _LEAST_S))
            rows.setdefault(each.cell, []).append(value)
    return np.array(list(rows.values()))


def mean_of(values: np.ndarray[Any, Any], figure: str) -> float:
    """The mean over cells and seeds; of a time the geometric one."""
    mean = float(values.mean())
    return math.exp(mean) if is_time(figure) else mean


def compared(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], figure: str) -> Estimate:
    """How the contender differs from the reference on the same arrivals."""
    differences = ours - theirs
    cells, seeds = differences.shape
    draw = np.random.Generator(np.random.PCG64(0))
    chosen = draw.integers(cells, size=(_DRAWS, cells, 1))
    drawn = differences[chosen, draw.integers(seeds, size=(_DRAWS, cells, seeds))].mean(axis=(1, 2))
    ends = np.percentile(drawn, (_LOW, _HIGH)).tolist()
    found = (float(differences.mean()), *ends)
    return Estimate(*(map(math.exp, found) if is_time(figure) else found))
