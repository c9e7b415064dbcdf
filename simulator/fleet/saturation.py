"""How much a server can carry, measured by letting it work on an endless queue."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.fleet import layout
from simulator.fleet.advancing import advance
from simulator.fleet.pool import Pool, Workload
from simulator.fleet.worlds import Rules, new_world

if TYPE_CHECKING:
    from simulator.fleet.pool import EngineSpec

# Enough for a batch of 256 to be renewed ten times; an engine does them in milliseconds.
_REQUESTS: Final = 4000
# The first quarter fills the engine, the last one empties it.
_FROM, _TO = 0.25, 0.75


def saturation_rate(spec: EngineSpec, workload: Workload) -> float:
    """Requests per second that one server completes when there is always one waiting.

    The requests are a sample of the workload's own, in an order that is drawn but always the same:
    prompts and answers of the mix differ so much that their means alone say too little of how they
    share a KV cache.
    """
    draw = np.random.Generator(np.random.PCG64(0))
    chosen = draw.choice(len(workload), _REQUESTS)
    queue = Workload(
        np.zeros(_REQUESTS), workload.prompt_tokens[chosen], workload.output_tokens[chosen]
    )
    world = new_world(Pool((replace(spec, name=""),)), queue, Rules(mode=layout.ROUND_ROBIN))
    advance(world, np.inf)
    finished_s = np.sort(world.requests["finished"][world.requests["status"] == layout.DONE])
    if not len(finished_s):
        return 0.0
    first, last = int(_FROM * len(finished_s)), int(_TO * len(finished_s))
    return float((last - first) / (finished_s[last] - finished_s[first]))


def pool_rates(pool: Pool, workload: Workload) -> tuple[float, ...]:
    """The saturation rate of each server of a pool."""
    known: dict[EngineSpec, float] = {}
    rates = []
    for spec in pool.engines:
        alike = replace(spec, name="")
        if alike not in known:
            known[alike] = saturation_rate(alike, workload)
        rates.append(known[alike])
    return tuple(rates)
