"""Prometheus does not say what the controller needs."""

import contextlib

import yaml

from lab.processes import await_true, free_port
from tests.integration.prometheus_faults import Told, always
from tests.integration.troubles.place import (
    BACKENDS,
    SOON_S,
    Trouble,
)


def wrong_selector(at: Trouble) -> str:
    """The selector matches no target."""
    return at.check(pools=at.pool(selector='job="vlm"'))


def lost_colon(at: Trouble) -> str:
    """The engines' metrics are stored with an underscore in place of the colon."""
    site = at.site
    # Only what Nginx serves already can be held.
    at.ask("once")
    kept = site.prometheus.config.read_text()
    (job,) = yaml.safe_load(kept)["scrape_configs"]
    with contextlib.ExitStack() as stack:
        for page in site.pages.values():
            page.text = 'vllm_num_requests_running{engine="0",model_name="m"} 1\n'
        stack.callback(site.settle)
        stack.callback(site.prometheus.reload, [job])
        for page in site.pages.values():
            stack.callback(setattr, page, "text", None)
        site.prometheus.reload([{**job, "metric_relabel_configs": []}])
        site.await_query("count(vllm_num_requests_running)", len(BACKENDS))
        await_true(
            lambda: not site.prometheus.query("vllm:num_requests_running"),
            SOON_S,
            "the series of before have ended",
        )
        return at.check() + at.ask("once")


def prometheus_gone(at: Trouble) -> str:
    """Nobody listens where Prometheus should."""
    url = f"http://127.0.0.1:{free_port()}"
    return at.check(url=url).replace(url, "http://127.0.0.1:9090")


def prometheus_wants_a_token(at: Trouble) -> str:
    """Prometheus stands behind a proxy that wants credentials."""
    with always(Told(401, "Unauthorized\n", "text/plain")) as proxy:
        return at.check(url=proxy.url).replace(proxy.url, "http://127.0.0.1:9090")


def scrape_fails(at: Trouble) -> str:
    """Prometheus cannot scrape two of three backends."""
    pages = [at.site.pages[each] for each in BACKENDS[1:]]
    for page in pages:
        page.status, page.text = 500, "no"
    try:
        at.site.await_query('count(up{job="vllm"} == 0)', 2)
        return at.check()
    finally:
        for page in pages:
            page.status, page.text = 200, None
        at.site.settle()
