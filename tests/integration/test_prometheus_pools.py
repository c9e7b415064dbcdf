"""Pools of a real Prometheus: who belongs to them, what the user adds, what one tick costs."""

import urllib.request

import pytest

from controller.adapters.prometheus import (
    InstanceMapping,
)
from controller.core.model import SampleFault, Signal
from lab.prometheus import RunningPrometheus
from tests.integration.prometheus_observing import (
    CAPTURED,
    SGLANG,
    observe,
    observe_one,
    pool,
)

pytestmark = pytest.mark.integration


def test_static_pool_has_every_configured_backend(server: RunningPrometheus) -> None:
    """A configured backend without a series is observed as unknown; others count as unmapped."""
    static = {"old:8000": "10.0.0.1:80", "gone:8000": "10.0.0.2:80"}
    seen = observe_one(server, pool("old", static=static))
    assert set(seen.observations) == {"10.0.0.1:80", "10.0.0.2:80"}
    assert seen.observations["10.0.0.1:80"].signals[Signal.RUNNING] == 3
    assert seen.observations["10.0.0.2:80"].up is None
    assert [each.instance for each in seen.observations.values()] == ["old:8000", "gone:8000"]
    assert seen.observations["10.0.0.2:80"].signals == {}
    assert seen.unmapped == ("both:8000",)


def test_discovery_maps_instances(server: RunningPrometheus) -> None:
    """Each instance with an `up` series becomes an address; what does not match is reported."""
    mapping = InstanceMapping("(ol)(?P<last>.):8000", "$1${last}.llm.svc:9000")
    seen = observe_one(server, pool("old", mapping=mapping))
    assert set(seen.observations) == {"old.llm.svc:9000"}
    assert seen.observations["old.llm.svc:9000"].instance == "old:8000"
    assert seen.unmapped == ("both:8000",)


def test_first_of_two_instances_with_one_address_counts(server: RunningPrometheus) -> None:
    """Two instances that map to one address: the first in order of text, the other is reported."""
    mapping = InstanceMapping(".+", "llm:8000")
    seen = observe_one(server, pool("old", mapping=mapping))
    assert seen.observations["llm:8000"].signals[Signal.KV_USAGE] == 0.6
    assert seen.unmapped == ("old:8000",)


def test_pools_do_not_mix(server: RunningPrometheus) -> None:
    """Pools with different selectors, profiles and labels are told apart within one tick."""
    snapshot = observe(
        server,
        pool("captures"),
        pool("sglang", profile="sglang", signals=SGLANG),
        pool("old", name="by-job", instance_label="job", mapping=InstanceMapping(".+", "a:1")),
    )
    assert snapshot.at_s == 1000.0
    assert len(snapshot.pools["captures"].observations) == len(CAPTURED)
    assert set(snapshot.pools["sglang"].observations) == {"sglang:8000", "old-sglang:8000"}
    assert snapshot.pools["by-job"].observations["a:1"].signals[Signal.RUNNING] == 6


def test_users_promql_adds_and_replaces(server: RunningPrometheus) -> None:
    """Any PromQL is a signal, summed by instance; it takes the place of one of the same name."""
    extra = {
        Signal.WAITING: 'vllm:num_requests_waiting_by_reason{selector,reason="capacity"} # c',
        "rejected": "rate(vllm:admission_rejections_total{selector}[{window}])",
        "ratio": 'vllm:kv_cache_usage_perc{job="captures"} / 0',
    }
    seen = observe_one(server, pool("captures", extra=extra))
    queueing = seen.observations["03-queueing:8000"]
    assert queueing.signals[Signal.WAITING] == 24
    assert queueing.signals["rejected"] == 0
    assert queueing.faults == {"ratio": SampleFault.INFINITE}
    assert seen.observations["00-fresh-idle:8000"].faults == {"ratio": SampleFault.NAN}


def test_custom_profile_is_dated_by_its_scrape(server: RunningPrometheus) -> None:
    """A pool of PromQL alone has the age of `up`."""
    extra = {"load": "vllm:num_requests_running{selector}"}
    seen = observe_one(server, pool("old", profile="custom", extra=extra))
    found = seen.observations["old:8000"]
    assert found.signals == {"load": 3}
    assert found.age_s is not None
    assert 0 <= found.age_s < 10


def queries_counted(server: RunningPrometheus) -> float:
    """Instant queries that Prometheus counts itself to have answered."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    name = 'prometheus_http_requests_total{code="200",handler="/api/v1/query"}'
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("count", [1, 7, 40])
def test_two_requests_for_any_number_of_pools(server: RunningPrometheus, count: int) -> None:
    """Prometheus itself counts two requests for one observation, by one pool or by forty."""
    before = queries_counted(server)
    snapshot = observe(server, *(pool("captures", name=f"p{index}") for index in range(count)))
    assert queries_counted(server) - before == 2
    assert len(snapshot.pools) == count


def test_pool_without_signals_costs_one_request(server: RunningPrometheus) -> None:
    """A pool that needs no signal is asked only who is up."""
    seen = observe_one(server, pool("old", signals=()))
    assert {each.up for each in seen.observations.values()} == {True}
    assert {len(each.signals) for each in seen.observations.values()} == {0}
