"""Recorded and drawn requests, and how many users of a trace make a load."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path
from typing import Final

import numpy as np

from simulator.fleet.pool import Workload

_HERE: Final = Path(__file__).resolve().parent.parent / "traces"

RECORDED: Final = {
    "azure_conv": "azure_conv_2023.csv.gz",
    "azure_code": "azure_code_2023.csv.gz",
    "mooncake": "mooncake_conv_uncached.csv.gz",
}
# What the bench with real engines was driven with: lengths of 64 to 192 tokens, random arrivals.
DRAWN: Final = "uniform_128"
TRACES: Final = (*RECORDED, DRAWN)

_DRAWN_REQUESTS: Final = 20_000
_DRAWN_FROM, _DRAWN_TO = 64, 192


@functools.cache
def trace(name: str, max_model_len: int) -> Workload:
    """A trace as it was recorded, with lengths that a model of this context takes."""
    if name == DRAWN:
        return _drawn().clipped(max_model_len)
    with gzip.open(_HERE / RECORDED[name], "rt") as file:
        columns = np.loadtxt(file, delimiter=",", skiprows=1, unpack=True)
    arrival_s, prompt_tokens, output_tokens = columns
    recorded = Workload(arrival_s, prompt_tokens.astype(np.int64), output_tokens.astype(np.int64))
    return recorded.clipped(max_model_len)


def _drawn() -> Workload:
    draw = np.random.Generator(np.random.PCG64(0))
    lengths = draw.integers(_DRAWN_FROM, _DRAWN_TO, (2, _DRAWN_REQUESTS), endpoint=True)
    # Independent users: a Poisson process of one request per second.
    return Workload(np.cumsum(draw.exponential(size=_DRAWN_REQUESTS)), lengths[0], lengths[1])


def merged(recorded: Workload, rate: float, duration_s: float, seed: int) -> Workload:
    """As many copies of a trace side by side as its own rate goes into the wanted one.

    A service with ten times the users has ten times the requests, and its bursts last as long as
    before. The copies begin at places spread evenly over the trace, the first one drawn. Time is
    stretched a little, so that the part that is played has just the wanted rate.
    """
    count = len(recorded)
    span_s = float(recorded.arrival_s[-1]) * count / max(1, count - 1)
    copies = max(1, round(rate * span_s / count))
    wanted = round(rate * duration_s)
    rounds = 1 + wanted // (copies * count)  # each copy is played so often at most
    endless_s = np.concatenate([recorded.arrival_s + turn * span_s for turn in range(rounds + 1)])
    first = np.random.Generator(np.random.PCG64(seed)).random()
    times, sources = [], []
    for copy in range(copies):
        begin_s = (first + copy / copies) % 1.0 * span_s
        start = int(np.searchsorted(endless_s, begin_s))
        played = np.arange(start, start + rounds * count)
        times.append(endless_s[played] - begin_s)
        sources.append(played % count)
    arrival_s, source = np.concatenate(times), np.concatenate(sources)
    order = np.argsort(arrival_s, kind="stable")[: wanted + 1]
    chosen = source[order[:-1]]
    stretched_s = arrival_s[order[:-1]] * (duration_s / arrival_s[order[-1]])
    return Workload(
        np.minimum(stretched_s, np.nextafter(duration_s, 0.0)),  # several may come at one instant
        recorded.prompt_tokens[chosen],
        recorded.output_tokens[chosen],
    )
