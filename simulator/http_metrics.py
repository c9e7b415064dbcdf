"""The HTTP series that FastAPI's Prometheus instrumentation adds to vLLM, in a registry."""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    Summary,
)

# Paths vLLM keeps out of its HTTP series, and the simulator's own.
UNCOUNTED: Final = frozenset(
    {"/metrics", "/health", "/load", "/ping", "/version", "/server_info", "/simulator"}
)
# The handler label of a path that no route matches.
NO_HANDLER: Final = "none"

_FINE_BOUNDS: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5),
    *(5.0, 7.5, 10.0, 30.0, 60.0),
)
_COARSE_BOUNDS: Final = (0.1, 0.5, 1.0)


def new_registry() -> CollectorRegistry:
    """Return a registry with the process_ and python_ series of a Python server."""
    registry = CollectorRegistry()
    GCCollector(registry=registry)
    PlatformCollector(registry=registry)
    ProcessCollector(registry=registry)
    return registry


class HttpMetrics:
    """Requests, durations and sizes by handler."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "http_requests",
            "Requests by handler, method and class of status.",
            ("method", "status", "handler"),
            registry=registry,
        )
        self._request_bytes = Summary(
            "http_request_size_bytes",
            "Content-Length of requests, 0 without one.",
            ("handler",),
            registry=registry,
        )
        self._response_bytes = Summary(
            "http_response_size_bytes",
            "Content-Length of responses, 0 without one, as of streams.",
            ("handler",),
            registry=registry,
        )
        self._fine_duration = Histogram(
            "http_request_duration_highr_seconds",
            "Duration to the last byte, finely.",
            buckets=_FINE_BOUNDS,
            registry=registry,
        )
        self._coarse_duration = Histogram(
            "http_request_duration_seconds",
            "Duration to the last byte, by handler.",
            ("method", "handler"),
            buckets=_COARSE_BOUNDS,
            registry=registry,
        )

    def observe(
        self,
        *,
        handler: str,
        method: str,
        status: int,
        duration_s: float,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        """Count one answered request; streams count when their last byte is out."""
        self._requests.labels(method=method, status=f"{status // 100}xx", handler=handler).inc()
        self._request_bytes.labels(handler=handler).observe(request_bytes)
        self._response_bytes.labels(handler=handler).observe(response_bytes)
        self._fine_duration.observe(duration_s)
        self._coarse_duration.labels(method=method, handler=handler).observe(duration_s)
