"""Traces: that they are whole, and how a load is made of them."""

from __future__ import annotations

import numpy as np
import pytest

from bench.suite.traces import TRACES, merged, trace
from simulator.fleet.pool import Workload

ROWS = {"azure_conv": 19_366, "azure_code": 8_819, "mooncake": 12_031}


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_whole_and_fits_the_context(name: str) -> None:
    """All its rows are there, in order, and no request is longer than the model takes."""
    recorded = trace(name, 1024)
    assert len(recorded) == ROWS.get(name, len(recorded))
    assert np.max(recorded.prompt_tokens + recorded.output_tokens) <= 1024


@pytest.mark.parametrize("rate", [0.3, 1.0, 7.3])
def test_copies_of_a_trace_make_the_rate(rate: float) -> None:
    """Exactly, below and above the rate of the trace itself, and for longer than it lasts."""
    workload = merged(trace("mooncake", 8192), rate, 4000.0, seed=1)
    assert len(workload) == round(4000 * rate)
    assert 3900.0 < workload.arrival_s[-1] < 4000.0


def test_a_burst_lasts_as_long_in_a_larger_service() -> None:
    """Ten copies of a trace with a silence of a minute are silent for as long, ten times."""
    bursts = np.concatenate([np.linspace(0, 10, 50), [100.0]])
    once = Workload(bursts, np.ones(51, np.int64), np.ones(51, np.int64))
    own_rate = 51 / (100 * 51 / 50)
    many = merged(once, 10 * own_rate, 102.0, seed=1)
    assert len(many) == 510
    assert np.median(np.diff(many.arrival_s)) == pytest.approx(10 / 49, rel=0.05)


def test_a_seed_plays_its_own_part() -> None:
    """The same seed gives the same requests, another one gives as many others."""
    recorded = trace("azure_conv", 8192)
    first, second, other = (merged(recorded, 12.0, 300.0, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.arrival_s, second.arrival_s)
    assert np.array_equal(first.prompt_tokens, second.prompt_tokens)
    assert not np.array_equal(first.prompt_tokens[:50], other.prompt_tokens[:50])
    assert len(other) == len(first)
