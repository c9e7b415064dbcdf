"""One observation of a real Prometheus, as the tests of pools and signals make it."""

from controller.adapters.prometheus import (
    PROFILES,
    Endpoint,
    PoolQuery,
    PrometheusClient,
    PrometheusSource,
)
from controller.core.model import PoolSnapshot, Snapshot
from lab.prometheus import RunningPrometheus
from tests.integration.prometheus_pages import PAGES

CAPTURED = sorted(PAGES["captures"])
VLLM = tuple(PROFILES["vllm"].recipes)
SGLANG = tuple(PROFILES["sglang"].recipes)


def pool(job: str, **settings: object) -> PoolQuery:
    """A discovered pool of one job, with a window that fits scrapes of one second."""
    defaults: dict[str, object] = {
        "name": job,
        "selector": f'job="{job}"',
        "signals": VLLM,
        "window_s": 4.0,
        "max_age_s": 30.0,
    }
    return PoolQuery(**{**defaults, **settings})  # type: ignore[arg-type]


def observe(server: RunningPrometheus, *pools: PoolQuery) -> Snapshot:
    """One observation that must succeed."""
    client = PrometheusClient(Endpoint(url=server.url, timeout_s=20))
    try:
        source = PrometheusSource(client, pools)
        snapshot = source.observe(1000.0)
        assert source.requests_made <= 2
        assert len(source.last_query_seconds) == source.requests_made
    finally:
        client.close()
    assert snapshot.error is None
    return snapshot


def observe_one(server: RunningPrometheus, one: PoolQuery) -> PoolSnapshot:
    """One observation of one pool."""
    return observe(server, one).pools[one.name]
