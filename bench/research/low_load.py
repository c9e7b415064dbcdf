"""Fewer, faster servers at low load, where a request is served soonest by the fastest device.

`EqualMarginal` gives every server so many requests that one more would add the same throughput
everywhere. With steps of length T(n) = s (1 + n / m), of which n requests get n / T(n) tokens, that
is the case when

    n = clip(m (x / sqrt(s) - 1), least, slots),    the same x for all, their sum those in flight.

Fixed lines show what there is to gain. No weight keeps a request from an idle slow server, for
`least_conn` turns to an idle one first; being down does, and so does standing in reserve, as a
backup of the others, each of which has a `max_conns`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from bench.research.question import Question, cells, varied
from bench.research.size_classes import whole
from bench.suite import CONTENDERS, HEADLINE, REFERENCE, controlled
from bench.suite.pools import POOLS, context_len, saturation
from bench.suite.traces import trace
from controller.core.model import Signal
from controller.core.policy import WEIGHT_MAX
from controller.policy.capacity import (
    Capacity,
    _remembered,  # what it has learned is the question here
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.suite import Cell, Contender
    from controller.core.policy import PolicyMemory, Targets

# Enough to find x to the last digit that matters, from 1 to the largest ratio of steps.
_HALVINGS: Final = 60
# An engine's KV cache is never quite full.
_KV_REACHED: Final = 0.9
# An idle server gets a request whatever its weight.
_LEAST: Final = 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """How a server's throughput grows: s in seconds, m, and the most requests it runs."""

    step_s: float
    doubles: float
    slots: float

    def at(self, x: float) -> float:
        """The requests for which the slope of the throughput is that of all others at x."""
        return min(self.slots, max(_LEAST, self.doubles * (x / math.sqrt(self.step_s) - 1)))


def spread(curves: Sequence[Curve], total: float) -> list[float]:
    """Requests for each server, so that one more would add the same everywhere.

    Their sum is `total`, or as near as the least and the slots allow.
    """
    low = min(math.sqrt(curve.step_s) for curve in curves)
    high = max(math.sqrt(each.step_s) * (1 + each.slots / each.doubles) for each in curves)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if sum(curve.at(middle) for curve in curves) < total:
            low = middle
        else:
            high = middle
    return [curve.at(high) for curve in curves]


@dataclass(frozen=True)
class EqualMarginal(Capacity):
    """The policy `capacity`, its weights for the requests that are in flight now."""

    name: ClassVar[str] = "equal_marginal"

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """Learn as `capacity` does, and weigh by the rule above where all is known."""
        targets, later = super().step(signals, memory)
        carried = self._carried(_remembered(later))
        if not carried.keys() >= signals.keys():
            return targets, later
        curves = []
        for address in signals:
            one = carried[address]
            # C = N / (s (1 + N / m)), solved for m.
            growth = one.slots / (one.tokens_per_s * one.step_s) - 1
            curves.append(Curve(one.step_s, one.slots / growth, one.slots))
        total = sum(
            each[Signal.ITL_SECONDS_RATE] + each[Signal.WAITING] for each in signals.values()
        )
        found = spread(curves, total)
        weights = {
            address: max(1.0, WEIGHT_MAX * requests / max(found))
            for address, requests in zip(signals, found, strict=True)
        }
        return replace(targets, weights=weights), later


def slots(pool: str, trace_name: str) -> list[float]:
    """How many requests of a trace each server holds: its KV cache, or its limit of sequences."""
    recorded = trace(trace_name, context_len(pool))
    prompts, answers = recorded.prompt_tokens, recorded.output_tokens
    # A request is there for as long as its answer is, and holds half of that on average.
    held = float(np.average(prompts + answers / 2, weights=answers))
    engines = [spec.parameters for spec in POOLS[pool].engines]
    return [
        min(each.max_num_seqs, _KV_REACHED * each.num_gpu_blocks * each.block_size / held)
        for each in engines
    ]


def _contenders(cell: Cell, _seed: int) -> list[Contender]:
    pool, name = cell.scenario.pool, cell.scenario.trace
    rates, fits = saturation(pool, name), slots(pool, name)
    not_slowest = [rate if rate > min(rates) else 0.0 for rate in rates]
    fastest = [rate if rate == max(rates) else 0.0 for rate in rates]
    fixed = CONTENDERS[REFERENCE]
    return [
        fixed,
        CONTENDERS[HEADLINE],
        controlled("equal marginal", EqualMarginal(), when_full="spill"),
        varied("true rates", fixed, weights=whole(rates)),
        varied("slowest down", fixed, weights=whole(not_slowest)),
        varied("all but the fastest down", fixed, weights=whole(fastest)),
        varied(
            "slowest in reserve",
            fixed,
            weights=whole(rates),
            max_conns=tuple(map(round, fits)),
            reserve=_others(not_slowest),
        ),
        varied(
            "all but the fastest in reserve",
            fixed,
            weights=whole(rates),
            max_conns=tuple(round(each / 2) for each in fits),
            reserve=_others(fastest),
        ),
        CONTENDERS["oracle"],
    ]


def _others(rates: Sequence[float]) -> tuple[int, ...]:
    """The servers that have none."""
    return tuple(server for server, rate in enumerate(rates) if not rate)


_SCENARIOS: Final = ("conv", "mooncake")
QUESTION: Final = Question(
    name="low_load",
    asked="Should fast servers take more than their share while there is little to do?",
    groups={
        f"{pool} at {load:g}": cells([f"{pool}-{each}" for each in _SCENARIOS], (load,))
        for pool in ("b", "g")
        for load in (0.1, 0.2, 0.3, 0.5, 0.65, 0.8, 0.95)
    },
    contenders=_contenders,
    reference=HEADLINE,
    figures=("goodput", "ttft_mean_s", "ttft_p99_s", "e2e_mean_s", "e2e_p99_s", "reloads"),
)
