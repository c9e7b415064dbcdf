"""Chance in the kernels: SplitMix64, so that a seed means the same on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.fleet.compiled import compiled

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1 = np.uint64(30)
_SHIFT_2 = np.uint64(27)
_SHIFT_3 = np.uint64(31)
_HIGH = np.uint64(32)


@compiled
def below(clock: Any, count: int) -> int:  # noqa: ANN401  # a record
    """Draw a whole number from 0 to count - 1, from the upper half of the next 64 bits."""
    clock.rng = np.uint64(clock.rng) + _STEP
    mixed = np.uint64(clock.rng)
    mixed = (mixed ^ (mixed >> _SHIFT_1)) * _MIX_1
    mixed = (mixed ^ (mixed >> _SHIFT_2)) * _MIX_2
    mixed = mixed ^ (mixed >> _SHIFT_3)
    return int(np.int64(((mixed >> _HIGH) * np.uint64(count)) >> _HIGH))
