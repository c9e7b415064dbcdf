"""The two hours that dashboards are tested with: their figures agree with each other."""

import pytest

from lab.incidents.asking import then
from lab.incidents.loading import Replay

pytestmark = pytest.mark.integration

RESTARTED = {"10.0.0.11:8000", "10.0.0.12:8000"}


def test_counters_fall_only_where_a_process_was_started_anew(world: Replay) -> None:
    """Counters and histograms of two servers begin again at 0, no others."""
    url, found = world.server.url, []
    # By name, since resets() leaves it out, and all that differ by it alone would be one.
    for one in then(
        url, 'group by (__name__) ({__name__=~".+_(total|count|sum|bucket)"})', world.end_s
    ):
        found += then(url, f'resets({{__name__="{one.labels["__name__"]}"}}[2h]) > 0', world.end_s)
    assert {series.labels["instance"] for series in found} == RESTARTED


def test_histograms_are_cumulative_and_agree_with_their_counts(world: Replay) -> None:
    """Each bucket holds the ones below it, and the last one holds everything."""
    histograms: dict[tuple[str, ...], dict[float, float]] = {}
    for series in then(world.server.url, '{__name__=~".+_bucket"}', world.end_s):
        labels = {k: v for k, v in series.labels.items() if k != "le"}
        key = tuple(f"{k}={v.removesuffix('_bucket')}" for k, v in sorted(labels.items()))
        histograms.setdefault(key, {})[float(series.labels["le"])] = series.values[0]
    counts = {
        tuple(f"{k}={v.removesuffix('_count')}" for k, v in sorted(series.labels.items())): series
        for series in then(world.server.url, '{__name__=~".+_count"}', world.end_s)
    }
    assert len(histograms) > 50
    for key, buckets in histograms.items():
        values = [buckets[bound] for bound in sorted(buckets)]
        assert values == sorted(values), key
        assert values[-1] == counts[key].values[0], key


def test_nginx_and_the_engines_count_the_same_requests(world: Replay) -> None:
    """The access log has as many good answers of a server as the server itself."""
    logged = {
        series.labels["upstream"]: series.values[0]
        for series in then(
            world.server.url, 'nginx_lb_upstream_responses_total{code="200"}', world.end_s
        )
    }
    answered = then(world.server.url, 'http_requests_total{status="2xx"}', world.end_s)
    steady = [one for one in answered if one.labels["instance"] not in RESTARTED]
    assert len(steady) == 2
    for series in steady:
        assert logged[series.labels["instance"]] == series.values[0] > 1000


def test_a_failed_scrape_ends_its_series(world: Replay) -> None:
    """While a server is down there is `up` at 0 and nothing else of it."""
    at_s = world.start_s + 60 * 70
    names = then(world.server.url, '{instance="10.0.0.12:8000",job="vllm"}', at_s)
    assert {one.labels["__name__"]: one.values[0] for one in names}.get("up") == 0
    assert not [one for one in names if one.labels["__name__"].startswith("vllm:")]
