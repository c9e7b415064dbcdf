"""The pools of servers that scenarios name, and what each of them carries."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Final

from bench.suite.traces import trace
from simulator.fleet.pool import EngineSpec, Pool
from simulator.fleet.saturation import pool_rates
from simulator.presets import A100, H100, L4, LAB

_SPEEDS: Final = (1.0, 0.5, 1.0, 0.25)


def _lab(max_num_seqs: int) -> Pool:
    """Servers of unlike speed that take so many sequences at most."""
    engine = replace(LAB, max_num_seqs=max_num_seqs)
    return Pool(tuple(EngineSpec(engine, speed) for speed in _SPEEDS))


_A100, _H100, _L4 = EngineSpec(A100), EngineSpec(H100), EngineSpec(L4)

POOLS: Final = {
    "a": Pool((_A100,) * 4),
    "a8": Pool((_A100,) * 8),
    "b": Pool((_H100, _H100, _A100, _L4)),
    "g": Pool((_H100,) * 4 + (_A100,) * 6 + (_L4,) * 6),
    "lab": _lab(16),
    "lab-24": _lab(24),
    "lab-64": _lab(64),
}


def context_len(pool: str) -> int:
    """The longest request, prompt and answer, that every server of the pool takes."""
    return min(spec.parameters.max_model_len for spec in POOLS[pool].engines)


@functools.cache
def saturation(pool: str, trace_name: str) -> tuple[float, ...]:
    """Requests per second that each server of the pool carries at most of this mix."""
    return pool_rates(POOLS[pool], trace(trace_name, context_len(pool)))
