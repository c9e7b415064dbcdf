"""What a fleet is made of, and what it has to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from simulator.fleet.layout import MOST_SERVERS

if TYPE_CHECKING:
    from simulator.parameters import EngineParameters

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One server: its engine, and how many times faster than its parameters it steps."""

    parameters: EngineParameters
    speed: float = 1.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """The servers of one upstream, in the order of its lines."""

    engines: tuple[EngineSpec, ...]

    def __post_init__(self) -> None:
        """Refuse a pool that cannot be simulated.

        Raises:
            ValueError: when it is empty or too large.
        """
        if not 1 <= len(self.engines) <= MOST_SERVERS:
            raise ValueError(f"pool: want 1 to {MOST_SERVERS} servers, got {len(self.engines)}")

    @property
    def addresses(self) -> tuple[str, ...]:
        """The address of each server, sorted as text like the lines of a rendered upstream."""
        return tuple(f"10.0.0.{100 + index}:8000" for index in range(len(self.engines)))


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Requests in order of arrival.

    Attributes:
        arrival_s: when each one arrives.
        prompt_tokens: its prompt.
        output_tokens: the exact length of its answer.
    """

    arrival_s: Floats
    prompt_tokens: Integers
    output_tokens: Integers

    def __post_init__(self) -> None:
        """Refuse columns that are no requests.

        Raises:
            ValueError: saying what is wrong with them.
        """
        count = len(self.arrival_s)
        if not len(self.prompt_tokens) == len(self.output_tokens) == count:
            raise ValueError("workload: want columns of one length")
        if count and (
            np.any(np.diff(self.arrival_s) < 0)
            or self.arrival_s[0] < 0
            or min(self.prompt_tokens.min(), self.output_tokens.min()) < 1
        ):
            raise ValueError("workload: want rising times from 0 on, and at least one token each")

    def __len__(self) -> int:
        return len(self.arrival_s)

    def clipped(self, max_model_len: int) -> Workload:
        """Shorten what no model of this context takes: the answer to half of it, then the prompt.

        A trace of a model with a longer context can then be replayed without refusals.
        """
        output = np.minimum(self.output_tokens, max_model_len // 2)
        return replace(
            self,
            prompt_tokens=np.minimum(self.prompt_tokens, max_model_len - output),
            output_tokens=output,
        )

    def until(self, end_s: float) -> Workload:
        """Keep what arrives before an instant."""
        kept = self.arrival_s < end_s
        return Workload(self.arrival_s[kept], self.prompt_tokens[kept], self.output_tokens[kept])

    def replayed(self, rate: float, duration_s: float, seed: int) -> Workload:
        """Play the trace at a mean rate (requests per second), from a place drawn by the seed.

        The time axis is scaled as a whole, so that bursts stay bursts, and the trace begins anew
        when it is over. The rate is the mean over the whole trace, not over the part played.
        """
        count, span_s = len(self), float(self.arrival_s[-1] - self.arrival_s[0])
        gap_s = span_s / max(1, count - 1)  # between the last request and the first one again
        gaps = np.append(np.diff(self.arrival_s), gap_s) / (gap_s * rate)
        start = int(np.random.Generator(np.random.PCG64(seed)).integers(count))
        rounds = 2 + int(duration_s * rate / count)
        while True:
            order = (start + np.arange(rounds * count)) % count
            arrival_s = np.concatenate(([0.0], np.cumsum(gaps[order])[:-1]))
            if arrival_s[-1] >= duration_s:
                break
            rounds *= 2
        return Workload(arrival_s, self.prompt_tokens[order], self.output_tokens[order]).until(
            duration_s
        )

    def with_burst(self, start_s: float, length_s: float, factor: int) -> Workload:
        """Let `factor` times as many requests arrive for a while, each with its own lengths.

        The additional ones take their lengths from the requests that follow, so that a burst is
        not made of equal twins; their times lie between those of the ones they are added to.
        """
        inside = np.flatnonzero((self.arrival_s >= start_s) & (self.arrival_s < start_s + length_s))
        times, sources = [self.arrival_s], [np.arange(len(self))]
        for copy in range(1, factor):
            follows = np.minimum(inside + 1, len(self) - 1)
            share = copy / factor
            times.append(self.arrival_s[inside] * (1 - share) + self.arrival_s[follows] * share)
            sources.append((inside + copy * len(inside)) % len(self))
        arrival_s, source = np.concatenate(times), np.concatenate(sources)
        order = np.argsort(arrival_s, kind="stable")
        chosen = source[order]
        return Workload(arrival_s[order], self.prompt_tokens[chosen], self.output_tokens[chosen])
