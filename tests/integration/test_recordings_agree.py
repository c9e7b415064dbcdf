"""What is recorded of a backend is what the controller sees of it."""

import re

import pytest

from controller.adapters.prometheus.pools import PoolQuery
from controller.adapters.prometheus.queries import signal_expression
from lab.prometheus import RunningPrometheus
from tests.unit.rules.rule_files import rules

pytestmark = pytest.mark.integration

RECORDINGS = {rule.name: rule.expr for rule in rules("record")}

# By recording: the same of the controller's signals, over the same window.
SAME = {
    "backend:requests_running:sum": ("running", 60.0),
    "backend:requests_waiting:sum": ("waiting", 60.0),
    "backend:kv_cache_usage:max": ("kv_usage", 60.0),
    "backend:output_tokens:rate1m": ("generation_rate", 60.0),
    "backend:requests_finished:rate5m": ("finished_rate", 300.0),
    "backend:preemptions:rate5m": ("preemption_rate", 300.0),
    "backend:request_errors:ratio_rate5m": (
        "(failed_rate - told_twice) / (failed_rate - told_twice + finished_rate > 0)",
        300.0,
    ),
    "backend:itl_seconds:mean5m": ("itl_seconds_rate / (itl_count_rate > 0)", 300.0),
}
# The controller compares failures with successes and may count an engine error of vLLM as its 500
# too. A recording is read as a share and does not. Here each engine error is among the 5xx.
TOLD_TWICE = {
    "vllm": 'sum by (instance) (rate(vllm:request_success_total{finished_reason="error"}[5m]))',
    "sglang": "0",
}
JOBS = {"vllm": "captures|growing|old", "sglang": "sglang"}


def seen_by_the_controller(signals: str, engine: str, window_s: float) -> str:
    """PromQL of what a pool with all backends of an engine sees."""
    pool = PoolQuery(
        name="all", profile=engine, selector=f'job=~"{JOBS[engine]}"', window_s=window_s
    )

    def meant(name: re.Match[str]) -> str:
        told_twice = name[0] == "told_twice"
        return f"({TOLD_TWICE[engine] if told_twice else signal_expression(pool, name[0])})"

    return re.sub(r"[a-z]\w+", meant, signals)


@pytest.mark.parametrize("engine", sorted(JOBS))
@pytest.mark.parametrize("recording", sorted(SAME))
def test_a_recording_is_what_the_controller_sees(
    server: RunningPrometheus, recording: str, engine: str
) -> None:
    """Of ranks, engines, old names and unborn counters both make the same number."""
    signals, window_s = SAME[recording]
    expr = f'({RECORDINGS[recording]}) and on (job, instance) up{{job=~"{JOBS[engine]}"}}'
    # In one query, since counters grow between two.
    sides = {"recorded": expr, "seen": seen_by_the_controller(signals, engine, window_s)}
    tagged = (
        f'label_replace(sum by (instance) ({side}), "side", "{name}", "", "")'
        for name, side in sides.items()
    )
    values: dict[str, dict[str, float]] = {name: {} for name in sides}
    for series in server.query(" or ".join(tagged)):
        labels = series["metric"]
        values[labels["side"]][labels["instance"]] = float(series["value"][1])
    assert values["seen"]
    assert values["recorded"] == pytest.approx(values["seen"])
