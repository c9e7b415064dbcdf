"""The controller's own metrics: what adds up is counted, the rest is read off the last tick."""

from collections.abc import Sequence
from typing import TypedDict

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.registry import CollectorRegistry

from controller.app.last_tick import LastTick, PoolInfo
from controller.app.loop import Result, TickRecord
from controller.core.errors import ActuationFault, SourceFault

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Own(TypedDict):
    namespace: str
    registry: CollectorRegistry


def leave_out_creation_times() -> None:
    """For the whole process: no `_created` series per counter, which doubles what is stored."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it ships no annotation


class Telemetry:
    """Counts ticks, and describes the last one to whoever scrapes."""

    def __init__(self, version: str, interval_s: float, pools: Sequence[PoolInfo] = ()) -> None:
        self.registry = CollectorRegistry()
        self._last = LastTick(version, pools)
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
        self.unsaved = Counter(
            "state_write_errors", "Times the memory could not be written to its file.", **own
        )
        Gauge("tick_interval_seconds", "Time between the starts of two ticks.", **own).set(
            interval_s
        )
        self._requests = Counter("prometheus_requests", "HTTP requests to Prometheus.", **own)

    def record(self, tick: TickRecord, *, query_s: float, requests: int) -> None:
        """Count a tick.

        Args:
            tick: Its record.
            query_s: Seconds spent asking Prometheus.
            requests: HTTP requests made for it.
        """
        self._last.see(tick)
        self._ticks.labels(tick.result, tick.decision.reason).inc()
        self._tick_s.observe(tick.duration_s)
        self._query_s.observe(query_s)
        self._requests.inc(requests)
        if tick.apply_s is not None:
            self._apply_s.observe(tick.apply_s)
            self._pushes.labels(tick.error.fault if tick.error else Result.CONFIRMED).inc()
        if tick.snapshot.error is not None:
            self._source_errors.labels(tick.snapshot.error.fault).inc()
