"""What is said of an expression's labels is what Prometheus would answer with."""

import pytest

from tests.unit.grafana.labels import labels
from tests.unit.grafana.promql import parse


@pytest.mark.parametrize(
    ("expr", "want"),
    [
        ("sum(up)", set()),
        ("sum by (job) (up)", {"job"}),
        ("sum by (job, pool) (up)", {"job"}),
        ("sum without (job) (up)", {"instance"}),
        (
            "up * on (job) group_left (version) vllm_nginx_lb_build_info",
            {"job", "instance", "version"},
        ),
        ("sum by (job) (up) * on (job) group_right () nginx_up", {"job", "instance", "lb"}),
        ("up * on (job) nginx_up", {"job"}),
        ("up * ignoring (job) nginx_up", {"instance"}),
        ("sum by (job) (up) or sum by (job, instance) (up)", {"job"}),
        ("sum by (job) (up) and up", {"job"}),
        ("up > on (job) nginx_up", {"job", "instance"}),
        ('label_replace(sum by (job) (up), "pool", "$1", "job", "(.+)")', {"job", "pool"}),
        ("time() - max by (job) (up)", {"job"}),
        ("topk by (job) (1, up)", {"job", "instance"}),
        (
            "histogram_quantile(0.5, nginx_lb_request_seconds_bucket)",
            {"job", "instance", "pool", "prog"},
        ),
        ("backend:weight_share:ratio", {"pool", "backend"}),
        ("pool:requests:rate5m", {"pool"}),
    ],
)
def test_labels_follow_the_operators(expr: str, want: set[str]) -> None:
    """Aggregations keep what they name, joins what the side of many has and what they add."""
    assert labels(parse(expr)) == frozenset(want)


def test_labels_of_alerts_can_be_any() -> None:
    """An alert has the labels of its own expression, which no inventory knows."""
    assert labels(parse("ALERTS")) is None
    assert labels(parse("sum by (alertname) (ALERTS)")) == frozenset({"alertname"})
