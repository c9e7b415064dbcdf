"""Each check of an expression finds the fault it is for, and leaves alone what is right."""

import promql_parser as promql
import pytest

from scripts.inventory import Metric, inventory
from tests.unit.rules.known import Known, known
from tests.unit.rules.promql_checks import CHECKS
from tests.unit.rules.rule_files import made

RECORDINGS = [
    {
        "record": "backend:busy:sum",
        "expr": "sum by (job, instance) (vllm:num_requests_running) > 0",
    },
    {"record": "backend:idle:sum", "expr": "sum by (job, instance) (vllm:num_requests_running)"},
    {
        "record": "backend_le:x:rate5m",
        "expr": "sum by (job, le) (rate(vllm:time_to_first_token_seconds_bucket[5m]))",
    },
]

BAD = [
    ("series_exist", "vllm:num_request_running"),
    ("series_exist", '{job="a"}'),
    ("series_exist", "backend:none:sum"),
    ("series_exist", "vllm:num_requests_running_bucket"),
    ("labels_exist", 'vllm:num_requests_running{model="m"}'),
    ("labels_exist", 'nginx_lb_unparsed_total{lb="vllm-nginx-lb"}'),
    ("labels_exist", "sum by (pool) (vllm:num_requests_running)"),
    ("labels_exist", "sum without (pool) (vllm:num_requests_running)"),
    ("labels_exist", "backend:busy:sum * on (model_name) vllm:num_requests_running"),
    ("labels_exist", "sum by (model_name) (backend:busy:sum)"),
    ("labels_exist", "sum by (le) (histogram_quantile(0.9, backend_le:x:rate5m))"),
    ("counters_are_rated", "vllm:generation_tokens_total > 5"),
    ("counters_are_rated", "sum(vllm:time_to_first_token_seconds_count)"),
    ("counters_are_rated", "max_over_time(vllm:generation_tokens_total[5m])"),
    ("counters_are_rated", "vllm:generation_tokens_total and up"),
    ("counters_are_rated", "up or vllm:generation_tokens_total"),
    ("counters_are_rated", "nginx_connections_accepted"),
    ("counters_are_rated", "delta(vllm:generation_tokens_total[5m])"),
    ("counters_are_rated", "2 * vllm:generation_tokens_total"),
    ("gauges_are_not_rated", "rate(vllm:num_requests_running[5m])"),
    ("gauges_are_not_rated", "increase(backend:busy:sum[5m])"),
    ("gauges_are_not_rated", "rate(sum(vllm:generation_tokens_total)[5m:1m])"),
    ("ranges_are_long_enough", "rate(vllm:generation_tokens_total[45s])"),
    ("denominators_are_guarded", "up / vllm:num_requests_running"),
    ("denominators_are_guarded", "up / backend:idle:sum"),
    ("denominators_are_guarded", "up / (vllm:num_requests_running > -1)"),
    ("denominators_are_guarded", "up / (vllm:num_requests_running > bool 0)"),
    ("denominators_are_guarded", "up / (up or backend:busy:sum)"),
    ("denominators_are_guarded", "up / (1 - up)"),
    ("denominators_are_guarded", "up / (1 - clamp_max(up, 1))"),
    ("denominators_are_guarded", "up / (up + (1 - up))"),
    ("denominators_are_guarded", "up / 0"),
    ("denominators_are_guarded", "up / clamp_min(up, 0)"),
    ("denominators_are_guarded", "up / (up < 5)"),
    ("quantiles_are_guarded", "histogram_quantile(0.9, backend_le:x:rate5m)"),
    ("quantiles_are_guarded", "histogram_quantile(0.9, backend_le:x:rate5m and on (job) up)"),
    ("quantiles_are_guarded", "histogram_quantile(0.9, backend:busy:sum and (up > 0))"),
    ("bounds_exist", 'vllm:time_to_first_token_seconds_bucket{le="2.0"}'),
    ("bounds_exist", 'vllm:time_to_first_token_seconds_bucket{le="1"}'),
    ("bounds_exist", 'sglang:time_to_first_token_seconds_bucket{le="2.5"}'),
    ("bounds_exist", 'backend_le:x:rate5m{le="3.0"}'),
    ("bounds_exist", 'backend:busy:sum{le="1.0"}'),
    ("bounds_exist", 'nginx_lb_upstream_header_seconds_bucket{le="1"}'),
    ("absences_name_a_series", "absent(sum(up))"),
    ("no_job_is_named", 'up{job="vllm"}'),
]

GOOD = [
    'sum by (job, instance, model_name) (vllm:num_requests_running{engine="0"})',
    "rate(vllm:generation_tokens_total[1m]) and vllm:generation_tokens_total",
    "up unless vllm:generation_tokens_total",
    "rate(vllm:generation_tokens_total[5m]) or 0 * vllm:generation_tokens_total",
    "count by (job) (vllm:generation_tokens_total) > 0",
    "absent(vllm:generation_tokens_total)",
    "absent(up)",
    'nginx_up{lb="vllm-nginx-lb"} == 0',
    "changes(vllm:generation_tokens_total[5m]) == 0",
    "resets(vllm_nginx_lb_backend_weight_desired[5m]) > 3",
    "rate(nginx_connections_accepted[5m]) - rate(nginx_connections_handled[5m])",
    "increase(vllm:time_to_first_token_seconds_sum[5m])",
    "up / 2",
    "up / backend:busy:sum",
    "up / on (job) group_left () (sum by (job) (backend:busy:sum) > 0)",
    "up / (vllm:num_requests_running >= 1)",
    "up / (1 + up)",
    "up / (1 - clamp_max(up, 0.5))",
    "up / clamp_min(up, 1)",
    "up / count(up)",
    "up / vllm_nginx_lb_tick_interval_seconds",
    "histogram_quantile(0.9, backend_le:x:rate5m and on (job) "
    '(backend_le:x:rate5m{le="+Inf"} > 0))',
    'rate(vllm:time_to_first_token_seconds_bucket{le="2.5"}[5m])',
    'rate(sglang:time_to_first_token_seconds_bucket{le=~"2.0|[+]Inf"}[5m])',
    'rate(nginx_lb_upstream_header_seconds_bucket{le=~"1|1.0"}[5m])',
    'rate(nginx_lb_upstream_header_seconds_bucket{le="2.5"}[5m])',
    "vllm_nginx_lb_backend_info * on (pool, engine_instance) group_left () "
    'label_replace(vllm_nginx_lb_backend_info, "new", "$1", "endpoint", "(.*)")',
    'ALERTS{alertname="X", whatever="y"}',
]


@pytest.fixture(scope="module")
def some() -> Known:
    """The committed inventory, and recordings of this test's own."""
    return known(inventory(), [made(entry) for entry in RECORDINGS])


def faults(expr: str, some: Known) -> dict[str, list[str]]:
    """What each check says of an expression, where it says anything."""
    parsed = promql.parse(expr)
    found = {name: list(check(parsed, some)) for name, check in CHECKS.items()}
    return {name: told for name, told in found.items() if told}


@pytest.mark.parametrize(("check", "expr"), BAD)
def test_a_bad_expression_is_found(check: str, expr: str, some: Known) -> None:
    """The check that is for this fault finds it."""
    assert check in faults(expr, some)


@pytest.mark.parametrize("expr", GOOD)
def test_a_good_expression_passes(expr: str, some: Known) -> None:
    """No check complains about what is right."""
    assert faults(expr, some) == {}


def test_every_check_is_tripped_by_a_bad_expression() -> None:
    """No check is without a test that it finds something."""
    assert {check for check, _ in BAD} == set(CHECKS)


def test_a_clash_with_a_label_of_the_target_is_renamed_as_prometheus_does() -> None:
    """A metric's own label `instance` is stored beside that of its target."""
    metric = Metric("x", "gauge", frozenset({"instance", "pool"}))
    assert metric.series() == {"x": {"job", "instance", "exported_instance", "pool"}}
