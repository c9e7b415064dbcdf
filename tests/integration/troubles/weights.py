"""Weights are not what somebody expects."""

from tests.integration.troubles.place import (
    BACKENDS,
    Trouble,
    await_status,
    gauge,
)


def signal_missing(at: Trouble) -> str:
    """The backends publish none of the series that the policy needs."""
    at.ask("once")
    return at.ask("once", pools=at.pool(policy={"name": "capacity"}))


def nothing_learned(at: Trouble) -> str:
    """The policy has not seen the backends at work."""
    at.ask("once")
    latency = ("vllm:inter_token_latency_seconds_sum", "vllm:inter_token_latency_seconds_count")
    pages = at.site.pages.values()
    for page in pages:
        page.gauges |= dict.fromkeys(latency, 1.0)
    try:
        at.site.settle()
        return at.ask("once", pools=at.pool(policy={"name": "capacity"}))
    finally:
        for page in pages:
            for name in latency:
                del page.gauges[name]


def within_the_dead_band(at: Trouble) -> str:
    """A backend is a little busier than the others, and not enough for a reload."""
    at.ask("once")
    with gauge(at, BACKENDS[0], "vllm:kv_cache_usage_perc", 0.8):
        return at.ask("once", control=", dead_band: 100%")


def too_soon(at: Trouble) -> str:
    """A backend is much busier than the others, right after a change."""
    with at.controller() as url, gauge(at, BACKENDS[0], "vllm:kv_cache_usage_perc", 0.95):
        await_status(url, '"weights"')
        with gauge(at, BACKENDS[1], "vllm:kv_cache_usage_perc", 0.95):
            await_status(url, '"min_interval"')
            return at.said("status", "--url", url)


def backend_not_configured(at: Trouble) -> str:
    """Prometheus scrapes a server that the pool does not list."""
    return at.check(pools=at.pool(backends=[{"address": each} for each in BACKENDS[:2]]))


def panic(at: Trouble) -> str:
    """Two of three engines stand still with requests inside."""
    ill = [at.site.pages[each] for each in BACKENDS[1:]]
    for page in ill:
        page.frozen = True
    try:
        with at.controller() as url:
            await_status(url, '"panic"')
            return at.said("status", "--url", url)
    finally:
        for page in ill:
            page.frozen = False
        at.site.settle()
