"""The manifests parse, ask for what exists, and never read silence as idleness."""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from pydantic import ValidationError

from tests.unit.autoscaling.manifests import ROOT, Hpa, ScaledObject, load

RULES = yaml.safe_load((ROOT / "rules" / "autoscaling.yml").read_text())
RECORDED = {rule["record"] for group in RULES["groups"] for rule in group["rules"]}
ANSWERED = yaml.safe_load((ROOT / "rules" / "tests" / "autoscaling_scalers.yml").read_text())
ADAPTER = load("prometheus-adapter-values.yaml")["rules"]["external"]
KEDA = ScaledObject.model_validate(load("keda-scaledobject.yaml")).spec
HPA = Hpa.model_validate(load("hpa.yaml")).spec


def adapter_queries() -> Iterator[str]:
    """What prometheus-adapter asks for the metrics of the HPA."""
    by_name = {rule["name"]["as"]: rule for rule in ADAPTER}
    for metric in HPA.metrics:
        asked = metric.external.metric
        rule = by_name[asked.name]
        series = rule["name"]["matches"].strip("^$")
        matchers = ",".join(f'{k}="{v}"' for k, v in asked.selector.match_labels.items())
        yield (
            rule["metricsQuery"]
            .replace("<<.Series>>", series)
            .replace("<<.LabelMatchers>>", matchers)
        )


QUERIES = [trigger.metadata.query for trigger in KEDA.triggers] + list(adapter_queries())


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:  # noqa: ANN401  # a union without a name
    """The series that an expression reads."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "args"):
        below = getattr(node, name, None)
        for each in below if isinstance(below, list) else [below]:
            if each is not None:
                yield from selectors(each)


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_reads_recordings_only(query: str) -> None:
    """Every series in a query is one that rules/autoscaling.yml records."""
    names = [each.name for each in selectors(promql_parser.parse(query))]
    assert names
    assert set(names) <= RECORDED


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_gives_one_number_or_none(query: str) -> None:
    """Scalers add up what they get, so promtool expects one series, or no answer at all."""
    assert isinstance(promql_parser.parse(query), promql_parser.AggregateExpr)
    answers = [
        len(each["exp_samples"])
        for test in ANSWERED["tests"]
        for each in test["promql_expr_test"]
        if each["expr"] == query
    ]
    assert sorted(answers) == [0, 1]


def test_the_adapter_finds_what_it_serves() -> None:
    """A rule of the adapter discovers the series it is named after, whatever the namespace."""
    for rule in ADAPTER:
        found = promql_parser.parse(rule["seriesQuery"])
        assert isinstance(found, promql_parser.VectorSelector)
        assert found.name in RECORDED
        assert re.fullmatch(rule["name"]["matches"], str(found.name))
        assert rule["resources"] == {"namespaced": False}


def test_keda_and_the_hpa_scale_alike() -> None:
    """Whoever changes from one to the other gets the same limits, pace and units."""
    assert KEDA.advanced.horizontal_pod_autoscaler_config.behavior == HPA.behavior
    assert KEDA.min_replica_count == HPA.min_replicas
    assert KEDA.max_replica_count == HPA.max_replicas
    assert {trigger.metadata.threshold for trigger in KEDA.triggers} == {"1"}
    assert {metric.external.target.average_value for metric in HPA.metrics} == {"1"}


def test_scaling_in_is_one_at_a_time_and_slower_than_scaling_out() -> None:
    """A replica too many costs little, one too few costs answers."""
    out, back = HPA.behavior.scale_up, HPA.behavior.scale_down
    assert out.stabilization_window_seconds == 0
    assert back.stabilization_window_seconds >= 300
    assert [(policy.type, policy.value) for policy in back.policies] == [("Pods", 1)]
    assert min(p.period_seconds for p in back.policies) > max(
        p.period_seconds for p in out.policies
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("triggers", 0, "metadata", "ignoreNullValues"), "true"),
        (("triggers", 0, "metadata", "ignoreNulValues"), "false"),
        (("triggers", 0, "metricType"), "Value"),
        (("minReplicaCount",), 0),
        (("fallback",), {"failureThreshold": 3, "replicas": 4}),
        (
            ("fallback",),
            {"failureThreshold": 3, "replicas": 4, "behavior": "currentReplicasIfHigher"},
        ),
    ],
)
def test_what_would_scale_in_by_mistake_is_refused(path: tuple[Any, ...], value: object) -> None:
    """The schema knows the settings that turn silence into zero servers."""
    manifest = load("keda-scaledobject.yaml")
    place = manifest["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        ScaledObject.model_validate(manifest)
