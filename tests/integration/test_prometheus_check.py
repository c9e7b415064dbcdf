"""The check finds, on a real Prometheus, what would keep the controller from working."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.adapters.prometheus import (
    PROFILES,
    Endpoint,
    Finding,
    PoolQuery,
    PrometheusClient,
    Severity,
    diagnose,
)
from controller.adapters.prometheus.queries import freshness_query, value_query
from controller.core.model import Signal
from lab.processes import free_port
from lab.prometheus import RunningPrometheus
from tests.integration.prometheus_faults import Asked, Told, serving

pytestmark = pytest.mark.integration

VLLM = tuple(PROFILES["vllm"].recipes)


def pool(job: str, **changes: object) -> PoolQuery:
    """A discovered pool of one job that needs all signals of vLLM."""
    given_by_default: dict[str, object] = {
        "name": job,
        "selector": f'job="{job}"',
        "signals": VLLM,
        "window_s": 5.0,
    }
    return PoolQuery(**{**given_by_default, **changes})  # type: ignore[arg-type]


def check(url: str, *pools: PoolQuery) -> list[Finding]:
    """What the check finds."""
    client = PrometheusClient(Endpoint(url=url, timeout_s=20))
    try:
        return diagnose(client, pools)
    finally:
        client.close()


def wrong(findings: list[Finding]) -> list[str]:
    """The findings that ask something of their reader, as text."""
    return [f"{f.severity}: {f.text}" for f in findings if f.severity is not Severity.OK]


def test_healthy_pool_has_nothing_wrong(server: RunningPrometheus) -> None:
    """A pool in order is all ok, and the version of Prometheus is told."""
    findings = check(server.url, pool("captures"))
    assert wrong(findings) == []
    assert findings[0].text.startswith("Prometheus answers (version ")
    assert {finding.pool for finding in findings[1:]} == {"captures"}


@pytest.mark.parametrize(
    ("job", "changes", "said"),
    [
        ("down", {}, "error: the last scrape of"),
        ("nothing", {}, "error: no instance with an `up` series"),
        ("colonless", {}, "error: metrics are stored as vllm_num_requests_running"),
        ("sglang", {}, "error: the targets publish sglang:num_running_reqs: the profile should"),
        ("captures", {"model_name": "x"}, "no target publishes vllm:num_requests_running with"),
        ("captures", {"window_s": 1.0}, "error: "),
        ("captures", {"window_s": 3.0}, "warning: "),
        ("captures", {"max_age_s": 1.0}, "takes one failed scrape for staleness"),
        ("twice-a|twice-b", {"selector": 'job=~"twice-."'}, "twice:8000 match the selector more"),
        ("old", {"static": {"old:8000": "a:1", "x:1": "a:2"}}, "error: no `up` series for a:2"),
        ("old", {"static": {"old:8000": "a:1"}}, "warning: both:8000 match the selector but"),
        ("old", {}, "warning: signal awake is missing for every backend."),
        ("broken", {}, "error: signal waiting is nan for not-finite:8000."),
        ("broken", {}, "error: signal kv_usage is infinite for not-finite:8000."),
        ("broken", {}, "error: signal running is stale for stale:8000."),
        ("sglang", {"profile": "sglang"}, "warning: signal awake is needed, but the profile"),
        ("old", {"extra": {"mine": "sum(up)"}}, "PromQL of signal mine drops the label `instance`"),
        ("old", {"extra": {"mine": "sum((up)"}}, "signal mine: "),
    ],
)
def test_trouble_is_named(
    server: RunningPrometheus, job: str, changes: dict[str, object], said: str
) -> None:
    """Each thing that can be wrong is one sentence of the check."""
    found = wrong(check(server.url, pool(job, **changes)))
    assert any(said in text for text in found), found


def test_bad_promql_names_only_its_signal(server: RunningPrometheus) -> None:
    """When the query of all is refused, each signal is asked alone to find the culprit."""
    extra = {"good": "up", "bad": "rate(up)"}
    found = check(server.url, pool("old", extra=extra))
    accused = [finding.text for finding in found if finding.pool]
    assert len(accused) == 1
    assert accused[0].startswith("signal bad: ")
    assert "expected type range vector" in accused[0]


def test_unreachable_prometheus_is_one_finding() -> None:
    """Without Prometheus the check says so once and stops."""
    (finding,) = check(f"http://127.0.0.1:{free_port()}", pool("old"))
    assert finding.severity is Severity.ERROR
    assert "Connection refused" in finding.text


def test_version_page_is_optional() -> None:
    """A server of the query API without the page of versions is good enough."""
    result = '{"status":"success","data":{"resultType":"vector","result":[]}}'

    def answer(asked: Asked) -> Told:
        return Told(404, "not found") if "buildinfo" in asked.path else Told(200, result)

    with serving(answer) as bare:
        findings = check(bare.url, pool("old"))
    assert findings[0] == Finding(Severity.OK, "Prometheus answers (it does not say its version).")


names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,9}", fullmatch=True)
label_text = st.text(st.characters(codec="utf-8"), max_size=8)
pools = st.builds(
    PoolQuery,
    name=names,
    profile=st.sampled_from(sorted(PROFILES)),
    selector=st.sampled_from(['job="a"', '{job="a", namespace=~".+"}', 'job!="",', "", " "]),
    model_name=label_text,
    signals=st.lists(st.sampled_from(list(Signal)), max_size=13).map(tuple),
    extra=st.dictionaries(
        names, st.sampled_from(["up", "up # comment", "a or b", "rate(x{selector}[{window}])"])
    ),
    window_s=st.floats(0.001, 1e5),
    max_age_s=st.floats(0.001, 1e5),
    instance_label=st.sampled_from(["instance", "pod", "by", "sum"]),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pools=st.lists(pools, min_size=1, max_size=6))
def test_any_pools_make_queries_that_parse(
    server: RunningPrometheus, pools: list[PoolQuery]
) -> None:
    """Whatever the pools, a real Prometheus parses and executes both queries."""
    client = PrometheusClient(Endpoint(url=server.url, timeout_s=20))
    try:
        for query in (value_query(pools), freshness_query(pools)):
            if query:
                client.query(query)
    finally:
        client.close()
