"""What Prometheus makes of the monitors is what rules and dashboards expect."""

import re
from typing import Any

import promql_parser
import pytest
import yaml

from tests.unit.kubernetes.built import ROOT, Built, Manifest

# What the operator puts on every target, by kind of monitor.
ADDED = {
    "ServiceMonitor": {"namespace", "service", "pod", "container", "endpoint"},
}
INVENTORIES = {
    "vllm-nginx-lb": "controller",
    "nginx-log": "nginx_log",
    "nginx": "nginx_exporter",
    "vllm": "vllm",
}


def endpoints(example: Built) -> list[tuple[str, Manifest]]:
    """Every endpoint, with the kind of its monitor."""
    found = []
    for monitor in example.of_kind("ServiceMonitor"):
        found += [("ServiceMonitor", each) for each in monitor["spec"]["endpoints"]]
    return found


def engines(example: Built) -> Manifest:
    """The endpoint at which the engines are scraped."""
    (found,) = [each for _, each in endpoints(example) if set_labels(each)["job"] == "vllm"]
    return found


def set_labels(endpoint: Manifest) -> dict[str, str]:
    """The labels that an endpoint sets to a fixed value."""
    return {
        step["targetLabel"]: step["replacement"]
        for step in endpoint["relabelings"]
        if "targetLabel" in step
    }


def test_jobs_are_those_of_rules_and_dashboards(example: Built) -> None:
    """The jobs have the names of the rest of the project, and only Nginx's exporter has lb."""
    jobs = {set_labels(each)["job"]: set_labels(each).get("lb") for _, each in endpoints(example)}
    assert jobs == {
        "vllm-nginx-lb": None,
        "nginx-log": None,
        "nginx": "vllm-nginx-lb",
        "vllm": None,
    }


def test_no_label_of_a_target_hides_one_of_a_metric(example: Built) -> None:
    """A metric keeps its own labels: Prometheus would rename one that the target has too."""
    for kind, endpoint in endpoints(example):
        dropped = "|".join(
            step["regex"] for step in endpoint["relabelings"] if step.get("action") == "labeldrop"
        )
        labels = set_labels(endpoint)
        added = {each for each in ADDED[kind] if not re.fullmatch(dropped or "$.", each)}
        inventory: dict[str, Any] = yaml.safe_load(
            (ROOT / "rules/inventory" / f"{INVENTORIES[labels['job']]}.yml").read_text()
        )
        own = {label for metric in inventory.values() for label in metric["labels"]}
        assert not own & (added | labels.keys() | {"instance"}), labels["job"]


def test_services_tell_who_is_ready_and_who_goes(example: Built) -> None:
    """No Service makes Kubernetes call each endpoint ready, whatever becomes of its pod."""
    services = example.of_kind("Service")
    assert len(services) == 3
    for each in services:
        assert "publishNotReadyAddresses" not in each["spec"]


def test_no_target_of_the_engines_is_dropped(example: Built) -> None:
    """A server that is dead or that goes stays where alerts see it."""
    actions = {step.get("action", "replace") for step in engines(example)["relabelings"]}
    assert actions == {"replace", "labeldrop"}


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("vllm_num_requests_running", "vllm:num_requests_running"),
        ("vllm:num_requests_running", "vllm:num_requests_running"),
        ("process_cpu_seconds_total", "process_cpu_seconds_total"),
    ],
)
def test_engine_metrics_have_their_colon(example: Built, name: str, stored: str) -> None:
    """A name that came with an underscore for the colon gets it back, and others stay."""
    (step,) = engines(example)["metricRelabelings"]
    assert step["targetLabel"] == "__name__"
    replacement = re.sub(r"\$(\d)", r"\\\1", step["replacement"])
    found = re.fullmatch(step["regex"], name)
    assert (found.expand(replacement) if found else name) == stored


def with_parsed_expressions(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups of rules, with the meaning of expressions in place of their text.

    Kustomize puts empty lines into folded texts, which mean nothing in PromQL.
    """
    return [
        group
        | {
            "rules": [
                rule | {"expr": str(promql_parser.parse(rule["expr"]))} for rule in group["rules"]
            ]
        }
        for group in groups
    ]


def test_rules_are_those_of_the_project(example: Built) -> None:
    """The PrometheusRules hold each group of rules/*.yml, as Prometheus would read it there."""
    made = {
        each["metadata"]["name"].removeprefix("vllm-nginx-lb-"): with_parsed_expressions(
            each["spec"]["groups"]
        )
        for each in example.of_kind("PrometheusRule")
    }
    written = {
        path.stem: with_parsed_expressions(yaml.safe_load(path.read_text())["groups"])
        for path in (ROOT / "rules").glob("*.yml")
    }
    assert made == written


def test_dashboards_are_those_of_the_project(example: Built) -> None:
    """Each dashboard is in a ConfigMap that Grafana's sidecar loads, to the last byte."""
    made: dict[str, str] = {}
    for each in example.of_kind("ConfigMap"):
        if each["metadata"]["labels"].get("grafana_dashboard") == "1":
            assert each["metadata"]["name"].startswith("vllm-nginx-lb-dashboard-")
            made |= each["data"]
    written = {
        f"vllm-nginx-lb-{path.name}": path.read_text()
        for path in (ROOT / "grafana/dashboards").glob("*.json")
    }
    assert made == written
