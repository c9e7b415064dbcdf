"""Prometheus on the world's scrapes: what a query at one time would say, as a snapshot.

`rate` is PromQL's: the increase between the first and the last sample of the window, counter
resets added up, extrapolated to the window's ends where they are near, never below zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.core.model import Observation, PoolSnapshot, Signal, Snapshot
from simulator.fleet import layout
from simulator.fleet.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.fleet.layout import World
    from simulator.fleet.pool import Floats

_GAUGES: Final = {
    Signal.RUNNING: layout.RUNNING,
    Signal.WAITING: layout.WAITING,
    Signal.KV_USAGE: layout.KV_USAGE,
    Signal.PREEMPTIONS_TOTAL: layout.PREEMPTIONS,
}
_RATES: Final = {
    Signal.PREEMPTION_RATE: layout.PREEMPTIONS,
    Signal.PROMPT_RATE: layout.PROMPT_TOKENS,
    Signal.PREFILL_RATE: layout.PROMPT_TOKENS,
    Signal.GENERATION_RATE: layout.GENERATION_TOKENS,
    Signal.ITL_SECONDS_RATE: layout.ITL_SECONDS,
    Signal.ITL_COUNT_RATE: layout.ITL_COUNT,
    Signal.ENGINE_STEP_RATE: layout.STEPS,
    Signal.PROGRESS_RATE: layout.STEPS,
    Signal.FINISHED_RATE: layout.FINISHED,
}
# Beyond this many mean distances from the first or last sample to the window's end, the series is
# taken to begin or end half a distance away.
_NEAR = 1.1


@compiled
def rate(samples: Floats, column: int, at_s: float, window_s: float, born_at_zero: int) -> float:
    """The rate that PromQL gives for the window; NaN with fewer than two samples in it.

    Args:
        samples: scrapes in order of time; a NaN is a scrape that failed.
        column: the counter.
        at_s: the end of the window, not before the last sample.
        window_s: its length.
        born_at_zero: 0 when the series appears only with its first increase.
    """
    count = 0
    first = last = first_at = last_at = increase = 0.0
    start_s = at_s - window_s
    row = len(samples)
    while row > 0 and samples[row - 1, layout.AT] > start_s:
        row -= 1
    for index in range(row, len(samples)):
        value = samples[index, column]
        if np.isnan(value) or (value == 0 and not born_at_zero):
            continue
        if count == 0:
            first, first_at = value, samples[index, layout.AT]
        elif value < last:
            increase += value  # it began anew at 0
        else:
            increase += value - last
        last, last_at = value, samples[index, layout.AT]
        count += 1
    if count < 2:  # noqa: PLR2004 - a difference needs two
        return np.nan
    sampled_s = last_at - first_at
    between_s = sampled_s / (count - 1)
    before_s, after_s = first_at - start_s, at_s - last_at
    if before_s >= _NEAR * between_s:
        before_s = between_s / 2
    if increase > 0:
        before_s = min(before_s, sampled_s * first / increase)  # where the counter was 0
    if after_s >= _NEAR * between_s:
        after_s = between_s / 2
    return increase * (sampled_s + before_s + after_s) / sampled_s / window_s


@compiled
def _rates(samples: Floats, at_s: float, window_s: float, rates: Floats) -> None:
    for column in range(layout.FIRST_COUNTER, layout.SCRAPE_COLUMNS):
        born = 0 if column == layout.ERRORS else 1
        rates[column] = rate(samples, column, at_s, window_s, born)


def observe(
    world: World, addresses: Sequence[str], *, pool: str, window_s: float, epoch_s: float
) -> Snapshot:
    """What Prometheus would answer now, of the servers it knows.

    Args:
        world: the world, as far as it is.
        addresses: of its servers.
        pool: name of the pool in the snapshot.
        window_s: the range of the rates.
        epoch_s: Unix time at virtual time 0.
    """
    now_s = float(world.clock[0]["now"])
    observations = {}
    for server, address in enumerate(addresses):
        samples = world.scrapes[server, : world.scraped[server]]
        if len(samples) and not np.isnan(samples[-1, layout.UP]):
            observations[address] = _observation(samples, now_s, window_s)
    return Snapshot(epoch_s + now_s, {pool: PoolSnapshot(observations)})


def _observation(samples: Floats, now_s: float, window_s: float) -> Observation:
    latest: list[float] = samples[-1].tolist()
    age_s = now_s - latest[layout.AT]
    if not latest[layout.UP]:
        # A failed scrape ends all series at once; rates are asked for only beside a live one.
        return Observation(up=False)
    found = np.empty(layout.SCRAPE_COLUMNS)
    _rates(samples, now_s, window_s, found)
    rates: list[float] = found.tolist()
    signals: dict[str, float] = {signal: latest[column] for signal, column in _GAUGES.items()}
    signals |= {
        signal: rates[column] for signal, column in _RATES.items() if rates[column] == rates[column]
    }
    errors = rates[layout.ERRORS]
    signals[Signal.FAILED_RATE] = 0.0 if np.isnan(errors) else errors
    signals[Signal.AWAKE] = 1.0
    return Observation(signals, age_s=age_s, up=True)
