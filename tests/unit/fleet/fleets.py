"""Small fleets and workloads that the tests of this package share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.fleet.pool import EngineSpec, Pool, Workload
from simulator.fleet.worlds import Rules, new_world
from simulator.presets import LAB

if TYPE_CHECKING:
    from simulator.fleet.layout import World


def lab_pool(*speeds: float) -> Pool:
    """Servers of the laboratory's kind, one per speed."""
    return Pool(tuple(EngineSpec(LAB, speed) for speed in speeds))


def steady(rate: float, duration_s: float, *, seed: int = 0) -> Workload:
    """Requests at random times, of about 60 prompt and 60 output tokens."""
    draw = np.random.Generator(np.random.PCG64(seed))
    count = int(rate * duration_s)
    return Workload(
        np.sort(draw.random(count) * duration_s),
        draw.integers(20, 100, count),
        draw.integers(20, 100, count),
    )


def idle_world(servers: int, requests: int = 400, rules: Rules | None = None) -> World:
    """A world in which requests arrive only when a test sends them."""
    workload = Workload(
        np.full(requests, 1e9), np.ones(requests, np.int64), np.ones(requests, np.int64)
    )
    return new_world(lab_pool(*[1.0] * servers), workload, rules or Rules())
