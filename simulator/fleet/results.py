"""What came of a run: every request's fate, and the figures that routers are compared by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.fleet.layout import DONE, FAILED, PENDING, REFUSED, SHED

if TYPE_CHECKING:
    from controller.core.memory import Memory
    from simulator.fleet.controlling import Tick
    from simulator.fleet.pool import Floats, Integers
    from simulator.fleet.worlds import Line

SLO_TTFT_S: Final = 2.0
SLO_ITL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """An upstream that came into force: when, at which Nginx, its lines and why."""

    at_s: float
    replica: int
    lines: tuple[Line | None, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of some requests.

    Times of a request that has no first token, or is not done, at the end of the run are what has
    passed until then; failed and shed requests have none. Shares are of all requests.

    Attributes:
        requests: how many arrived.
        goodput: share that was done with a first token within 2 s and at most 100 ms between
            tokens on average.
        ttft_mean_s: time to first token, mean.
        ttft_p50_s: its median.
        ttft_p99_s: its 99th percentile.
        e2e_mean_s: arrival to last token, mean.
        e2e_p99_s: its 99th percentile.
        itl_mean_s: time between tokens, mean over tokens of done requests.
        done: requests with all their tokens.
        failed: requests cut, timed out, answered with an error, or without a server.
        refused: requests too long for the server they were sent to.
        unfinished: requests in flight at the end of the run.
        shed: requests turned away because every server was at its limit.
        false_sheds: shed while some server could have served it at once and within both objectives
            (`dispatch.has_room`).
        retried: requests that were sent to more than one server.
        spilled: requests that went to a backup line.
        preemptions: of these requests, in all.
        tokens_per_s: output tokens of requests done, by the time from the first to the last
            instant of the interval.
        reloads: of all Nginx replicas in the interval.
    """

    requests: int
    goodput: float
    ttft_mean_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    e2e_mean_s: float
    e2e_p99_s: float
    itl_mean_s: float
    done: int
    failed: int
    refused: int
    unfinished: int
    shed: int
    false_sheds: int
    retried: int
    spilled: int
    preemptions: int
    tokens_per_s: float
    reloads: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RunResult:
    """Every request of a run, in order of arrival, and what was done to the upstream.

    Attributes:
        arrival_s: when it arrived.
        prompt_tokens: its prompt.
        output_tokens: its answer.
        server: where it was sent last; -1 for nowhere.
        dispatched_s: when; NaN for never, as for all times.
        first_token_s: when its first token came.
        finished_s: when its fate was sealed.
        status: DONE, FAILED, SHED, REFUSED or PENDING of `layout`.
        retries: servers it was sent to after the first.
        preemptions: times it lost its KV blocks.
        spilled: whether it went to a backup line.
        had_room: shed although a server had room.
        warmup_s: what arrives before is not counted.
        duration_s: nothing arrives from then on.
        end_s: when the run ended: all requests had their fate, or it was time.
        changes: upstreams that came into force after the start, forced reloads included.
        ticks: the controllers' decisions, in order of time.
        memories: of the controllers, at the end, one per Nginx replica.
        scrapes: Prometheus' samples by server, number and column of `layout`; NaN for none.
    """

    arrival_s: Floats
    prompt_tokens: Integers
    output_tokens: Integers
    server: Integers
    dispatched_s: Floats
    first_token_s: Floats
    finished_s: Floats
    status: Integers
    retries: Integers
    preemptions: Integers
    spilled: np.ndarray[Any, np.dtype[np.bool_]]
    had_room: np.ndarray[Any, np.dtype[np.bool_]]
    warmup_s: float
    duration_s: float
    end_s: float
    changes: tuple[Change, ...] = ()
    ticks: tuple[Tick, ...] = ()
    memories: tuple[Memory, ...] = ()
    scrapes: Floats = field(default_factory=lambda: np.empty((0, 0, 0)))

    @property
    def ttft_s(self) -> Floats:
        """Time to first token; what has passed for a request that still waits for it."""
        first = np.where(self.status == PENDING, self.end_s, np.nan)
        shown = np.where(np.isnan(self.first_token_s), first, self.first_token_s)
        return shown - self.arrival_s

    @property
    def e2e_s(self) -> Floats:
        """Arrival to last token; what has passed for a request in flight."""
        ended = np.where(self.status == PENDING, self.end_s, np.nan)
        return np.where(self.status == DONE, self.finished_s, ended) - self.arrival_s

    @property
    def itl_s(self) -> Floats:
        """Mean time between a done request's tokens; 0 for a single one, NaN when not done."""
        gaps = np.maximum(1, self.output_tokens - 1)
        itl_s = (self.finished_s - self.first_token_s) / gaps
        return np.where(self.status == DONE, itl_s, np.nan)

    @property
    def good(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each request was done within both objectives."""
        slow = np.isnan(self.itl_s) | (self.itl_s > SLO_ITL_S)
        late = np.isnan(self.ttft_s) | (self.ttft_s > SLO_TTFT_S)
        return ~(slow | late)

    @property
    def reloads(self) -> int:
        """Reloads while requests arrived, of all replicas."""
        return sum(change.at_s < self.duration_s for change in self.changes)

    def summary(self, start_s: float | None = None, end_s: float | None = None) -> Summary:
        """The figures of the requests that arrived in an interval; by default all after warm-up."""
        start_s = self.warmup_s if start_s is None else start_s
        end_s = self.duration_s if end_s is None else end_s
        counted = (self.arrival_s >= start_s) & (self.arrival_s < end_s)
        status = self.status[counted]
        done = counted & (self.status == DONE)
        gaps = float(np.sum(self.output_tokens[done] - 1))
        gap_s = float(np.sum(self.finished_s[done] - self.first_token_s[done]))
        within = (self.status == DONE) & (self.finished_s >= start_s) & (self.finished_s < end_s)
        ttft_s, e2e_s = _known(self.ttft_s[counted]), _known(self.e2e_s[counted])
        return Summary(
            requests=int(counted.sum()),
            goodput=float(self.good[counted].mean()) if counted.any() else np.nan,
            ttft_mean_s=_mean(ttft_s),
            ttft_p50_s=_percentile(ttft_s, 50),
            ttft_p99_s=_percentile(ttft_s, 99),
            e2e_mean_s=_mean(e2e_s),
            e2e_p99_s=_percentile(e2e_s, 99),
            itl_mean_s=gap_s / gaps if gaps else np.nan,
            done=int(np.sum(status == DONE)),
            failed=int(np.sum(status == FAILED)),
            refused=int(np.sum(status == REFUSED)),
            unfinished=int(np.sum(status == PENDING)),
            shed=int(np.sum(status == SHED)),
            false_sheds=int(np.sum(self.had_room[counted])),
            retried=int(np.sum(self.retries[counted] > 0)),
            spilled=int(np.sum(self.spilled[counted])),
            preemptions=int(np.sum(self.preemptions[counted])),
            tokens_per_s=float(np.sum(self.output_tokens[within])) / (end_s - start_s),
            reloads=sum(start_s <= change.at_s < end_s for change in self.changes),
        )

    def slo_back_s(  # the defaults are the definition used everywhere
        self, event_s: float, *, window_s: float = 15.0, share: float = 0.95, hold_s: float = 30.0
    ) -> float:
        """How long after an event the goodput was back; 0 when it never fell, infinite for never.

        Goodput is that of the requests that arrived within a window of 15 s, every second. It is
        back when it is at least 95 % of its level before, and stays so for 30 s. The level before
        is that of the minute which ends one window before the event, for the event spoils what
        arrived just before it.
        """
        good = self.good
        level = self._goodput(good, event_s - window_s - 60.0, event_s - window_s)
        if np.isnan(level):
            return float("nan")
        seconds = np.arange(event_s, self.duration_s + 1e-9, 1.0)
        back = [not self._goodput(good, at_s - window_s, at_s) < share * level for at_s in seconds]
        for index in range(len(back)):
            if all(back[index : index + 1 + int(hold_s)]):
                return float(seconds[index] - event_s)
        return float("inf")

    def _goodput(
        self, good: np.ndarray[Any, np.dtype[np.bool_]], start_s: float, end_s: float
    ) -> float:
        first, last = np.searchsorted(self.arrival_s, (start_s, end_s))
        return float(good[first:last].mean()) if last > first else float("nan")


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _percentile(values: Floats, percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else float("nan")
