"""The controller's own metrics.

What follows from the last tick is read off its record when Prometheus scrapes, so it costs the tick
nothing and label sets of departed backends vanish by themselves. Only what adds up is counted.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from typing import TypedDict

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from controller.app.loop import Result, TickRecord
from controller.core.decide import PoolDecision
from controller.core.errors import ActuationFault, SourceFault
from controller.core.model import Observation, PoolSnapshot

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Own(TypedDict):
    namespace: str
    registry: CollectorRegistry


def leave_out_creation_times() -> None:
    """For the whole process: no `_created` series per counter, which doubles what is stored."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it ships no annotation


class Telemetry:
    """Counts ticks, and describes the last one to whoever scrapes."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._last = _LastTick(version)
        self.registry.register(self._last)
        own = _Own(namespace="vllm_nginx_lb", registry=self.registry)
        self._ticks = Counter("ticks", "Ticks by result and reason.", ["result", "reason"], **own)
        self.skipped = Counter(
            "ticks_skipped", "Ticks that did not start because the last one still ran.", **own
        )
        self.crashed = Counter("ticks_crashed", "Ticks that ended in a fault of our own.", **own)
        self._pushes = Counter(
            "reloads", "Upstream files pushed to Nginx, by what became of them.", ["result"], **own
        )
        for result in (Result.CONFIRMED, *ActuationFault):
            self._pushes.labels(result)
        self._source_errors = Counter(
            "source_errors", "Ticks in which Prometheus gave no usable answer.", ["fault"], **own
        )
        for fault in SourceFault:
            self._source_errors.labels(fault)
        self._tick_s = Histogram(
            "tick_duration_seconds", "Wall time of a tick.", buckets=_SECONDS, **own
        )
        self._query_s = Histogram(
            "query_duration_seconds",
            "Wall time of asking Prometheus in a tick, all requests together.",
            buckets=_SECONDS,
            **own,
        )
        self._apply_s = Histogram(
            "apply_duration_seconds",
            "Wall time from pushing a file until Nginx confirmed or refused it.",
            buckets=_SECONDS,
            **own,
        )
        self._observed = Gauge(
            "last_observed_timestamp_seconds", "When Prometheus answered last.", **own
        )
        self._requests = Counter("prometheus_requests", "HTTP requests to Prometheus.", **own)

    def record(self, tick: TickRecord, *, query_s: float, requests: int) -> None:
        """Count a tick.

        Args:
            tick: Its record.
            query_s: Seconds spent asking Prometheus.
            requests: HTTP requests made for it.
        """
        self._last.tick = tick
        if tick.snapshot.error is None:
            self._observed.set(tick.snapshot.at_s)
        self._ticks.labels(tick.result, tick.decision.reason).inc()
        self._tick_s.observe(tick.duration_s)
        self._query_s.observe(query_s)
        self._requests.inc(requests)
        if tick.apply_s is not None:
            self._apply_s.observe(tick.apply_s)
            self._pushes.labels(tick.error.fault if tick.error else Result.CONFIRMED).inc()
        if tick.snapshot.error is not None:
            self._source_errors.labels(tick.snapshot.error.fault).inc()


class _LastTick(Collector):
    """Gauges read off the record of the last tick."""

    def __init__(self, version: str) -> None:
        self.tick: TickRecord | None = None
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """Nothing at registration: the first tick has not run."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The gauges of the last tick."""
        build = _gauge("build_info", "The version that runs.", "version")
        build.add_metric([self._version], 1)
        yield build
        tick = self.tick
        if tick is None:
            return
        yield from _generations(tick)
        yield from _workers(tick)
        yield from _times(tick)
        pools = tick.decision.pools.values()
        yield _blind(pools)
        yield _backend_counts(pools)
        yield from _backends(tick)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"vllm_nginx_lb_{name}", text, labels=labels)


def _generations(tick: TickRecord) -> Iterator[Metric]:
    info = _gauge("generation_info", "Generations of the upstream file.", "kind", "generation")
    applied = tick.memory.applied
    kinds = {
        "desired": tick.decision.rendered.generation,
        "applied": applied.generation if applied else None,
        "served": tick.served,
    }
    for kind, generation in kinds.items():
        if generation is not None:
            info.add_metric([kind, generation], 1)
    yield info
    synced = _gauge("in_sync", "1 when Nginx serves the generation that was confirmed last.")
    synced.add_metric([], float(kinds["applied"] is not None and kinds["applied"] == tick.served))
    yield synced


def _workers(tick: TickRecord) -> Iterator[Metric]:
    counts = {
        "lingering_workers": (tick.nginx.lingering_workers, "Old workers that finish streams."),
        "live_workers": (tick.nginx.live_workers, "Workers that accept connections."),
    }
    for name, (count, text) in counts.items():
        if count is not None:
            gauge = _gauge(f"nginx_{name}", text)
            gauge.add_metric([], count)
            yield gauge


def _times(tick: TickRecord) -> Iterator[Metric]:
    last = _gauge("last_tick_timestamp_seconds", "When the last tick ended.")
    last.add_metric([], tick.snapshot.at_s + tick.duration_s)
    yield last
    applied = tick.memory.applied
    if applied is not None and applied.at_s is not None:
        confirmed = _gauge("last_confirmed_timestamp_seconds", "When Nginx confirmed a file last.")
        confirmed.add_metric([], applied.at_s)
        yield confirmed


def _blind(pools: Iterable[PoolDecision]) -> Metric:
    gauge = _gauge(
        "pool_blind", "1 while a pool's snapshot is not fit to act on, by reason.", "pool", "reason"
    )
    for pool in pools:
        gauge.add_metric([pool.name, pool.blind or "none"], float(pool.blind is not None))
    return gauge


def _backend_counts(pools: Iterable[PoolDecision]) -> Metric:
    gauge = _gauge("backends", "Backends of a pool by the reason for their line.", "pool", "reason")
    for pool in pools:
        for reason, count in sorted(Tally(why for why, _ in pool.target.reasons.values()).items()):
            gauge.add_metric([pool.name, reason], count)
    return gauge


def _backends(tick: TickRecord) -> Iterator[Metric]:
    labels = ("pool", "backend")
    desired = _gauge("backend_weight_desired", "Weight wanted; 0 while taken out.", *labels)
    applied = _gauge("backend_weight_applied", "Weight that Nginx confirmed; 0 if out.", *labels)
    limit_text = "Most requests in flight that Nginx confirmed; absent without a limit."
    limit = _gauge("backend_max_conns_applied", limit_text, *labels)
    age = _gauge("backend_sample_age_seconds", "Age of the oldest sample.", *labels)
    reason = _gauge("backend_reason_info", "Why it has the weight wanted.", *labels, "reason")
    known = tick.memory.applied.pools if tick.memory.applied else {}
    for name, pool in tick.decision.pools.items():
        for server in pool.target.servers:
            desired.add_metric([name, server.address], 0 if server.down else server.weight)
        for address, (why, _) in pool.target.reasons.items():
            reason.add_metric([name, address, why], 1)
        for server in known.get(name, ()):
            applied.add_metric([name, server.address], 0 if server.down else server.weight)
            if server.max_conns is not None:
                limit.add_metric([name, server.address], server.max_conns)
        for address, seen in _observations(tick, name):
            if seen.age_s is not None:
                age.add_metric([name, address], seen.age_s)
    yield from (desired, applied, limit, age, reason)


def _observations(tick: TickRecord, pool: str) -> Iterable[tuple[str, Observation]]:
    return tick.snapshot.pools.get(pool, PoolSnapshot()).observations.items()
