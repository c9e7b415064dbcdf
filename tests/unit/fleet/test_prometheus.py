"""Prometheus' answers are those of its own rules."""

from __future__ import annotations

import numpy as np
import pytest

from controller.core.model import Signal
from simulator.fleet import layout
from simulator.fleet.advancing import advance
from simulator.fleet.events import Die, Recover, TurnBlackHole, happen
from simulator.fleet.pool import Workload
from simulator.fleet.prometheus import observe, rate
from simulator.fleet.worlds import Rules, new_world
from tests.unit.fleet.fleets import lab_pool, steady

NAN = float("nan")


def _samples(*pairs: tuple[float, float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    samples = np.zeros((len(pairs), layout.SCRAPE_COLUMNS))
    for row, (at_s, value) in enumerate(pairs):
        samples[row, layout.AT] = at_s
        samples[row, layout.STEPS] = value
    return samples


# Every case is asked at 30 s over 30 s.
RATES: dict[str, tuple[list[tuple[float, float]], float]] = {
    "one sample is too few": ([(10, 5)], NAN),
    "none in the window": ([(-20, 1), (-5, 2)], NAN),
    # 40 in 20 s, extrapolated by the 5 s on either side: 60 in 30 s.
    "near ends are extrapolated": ([(5, 1000), (15, 1020), (25, 1040)], 2.0),
    # 20 in 10 s; 15 s are missing before, which is beyond 1.1 x 10 s, so half of 10 s is added.
    "a far begin counts half a distance": ([(15, 1000), (25, 1020)], 20 * 20 / 10 / 30),
    "a far end counts half a distance": ([(5, 1000), (15, 1020)], 20 * 20 / 10 / 30),
    # It cannot have been below 0: 5 in 20 s was 0 only 4 s before the first sample.
    "a counter is never taken below zero": ([(5, 1), (15, 3), (25, 6)], 5 * 29 / 20 / 30),
    # 1000 -> 1010, begun anew, -> 4 -> 14: 10 + 4 + 10 = 24 in 15 s, and 5 s after; 10 s before
    # are beyond 1.1 x 5 s: 2.5 s.
    "resets are added up": (
        [(10, 1000), (15, 1010), (20, 4), (25, 14)],
        24 * (15 + 2.5 + 5) / 15 / 30,
    ),
    "failed scrapes are left out": ([(5, 1000), (15, NAN), (25, 1040)], 2.0),
    "a sample at the window's begin is outside": ([(0, 0), (10, 1000), (20, 1010)], 30 / 30),
    "nothing happened": ([(5, 7), (15, 7), (25, 7)], 0.0),
}


@pytest.mark.parametrize("case", RATES)
def test_rate_is_that_of_promql(case: str) -> None:
    """A table worked out by hand from the rules of rate()."""
    pairs, expected = RATES[case]
    found = rate(_samples(*pairs), layout.STEPS, 30.0, 30.0, 1)
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_snapshot_holds_every_signal_of_a_server_at_work() -> None:
    """After two scrapes of a busy server all signals are there, and they fit together."""
    world = new_world(lab_pool(1.0), steady(2.0, 60.0), Rules(scrape_s=5.0), horizon_s=60.0)
    advance(world, 60.0)
    snapshot = observe(world, ["a:1"], pool="p", window_s=30.0, epoch_s=1e6)
    found = snapshot.pools["p"].observations["a:1"]
    assert found.signals.keys() == set(Signal)
    assert found.up
    assert snapshot.at_s == 1e6 + 60.0
    assert found.age_s is not None
    assert 0 <= found.age_s < 5.0
    assert found.signals[Signal.FAILED_RATE] == 0.0
    assert found.signals[Signal.FINISHED_RATE] == pytest.approx(2.0, rel=0.3)
    gap_s = found.signals[Signal.ITL_SECONDS_RATE] / found.signals[Signal.ITL_COUNT_RATE]
    assert gap_s == pytest.approx(0.022, abs=0.003)


def test_before_the_first_scrape_nothing_is_known() -> None:
    """A server that was never scraped is not in the snapshot."""
    world = new_world(lab_pool(1.0), steady(1.0, 1.0), Rules(scrape_s=5.0), horizon_s=10.0)
    world.scrape_phase[0] = 4.0
    advance(world, 3.0)
    assert not observe(world, ["a:1"], pool="p", window_s=30.0, epoch_s=0.0).pools["p"].observations


def test_a_dead_server_has_no_signals_and_returns_with_its_counters_at_zero() -> None:
    """`up` is 0 while it is dead; the reset afterwards makes no rate negative."""
    world = new_world(lab_pool(1.0), steady(2.0, 90.0), Rules(scrape_s=5.0), horizon_s=90.0)
    advance(world, 30.0)
    happen(world, Die(30.0, 0))
    advance(world, 40.0)
    dead = observe(world, ["a:1"], pool="p", window_s=30.0, epoch_s=0.0)
    assert dead.pools["p"].observations["a:1"].up is False
    assert not dead.pools["p"].observations["a:1"].signals
    happen(world, Recover(40.0, 0))
    advance(world, 60.0)
    back = observe(world, ["a:1"], pool="p", window_s=30.0, epoch_s=0.0)
    signals = back.pools["p"].observations["a:1"].signals
    assert signals[Signal.GENERATION_RATE] > 0


def test_a_counter_of_failures_is_born_with_the_first_one() -> None:
    """Its first value is no increase, as in Prometheus; only the second sample is."""
    workload = Workload(
        np.arange(0.5, 30.0, 0.5), np.full(59, 10, np.int64), np.full(59, 10, np.int64)
    )
    world = new_world(lab_pool(1.0), workload, Rules(scrape_s=5.0), horizon_s=30.0)
    world.scrape_phase[0] = 1.0
    advance(world, 10.0)
    happen(world, TurnBlackHole(10.0, 0))
    rates = []
    for at_s in (11.5, 16.5):
        advance(world, at_s)
        found = observe(world, ["a:1"], pool="p", window_s=30.0, epoch_s=0.0)
        rates.append(found.pools["p"].observations["a:1"].signals[Signal.FAILED_RATE])
    assert rates[0] == 0.0
    assert rates[1] > 0.0
