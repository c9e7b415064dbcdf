"""An API server takes every object, and the objects name each other rightly."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it ships none
import pytest
from pydantic import ValidationError

from tests.unit.kubernetes import operator
from tests.unit.kubernetes.built import Built, Manifest

# The oldest that has all fields, and the newest that is known.
VERSIONS = ("1.27", "1.37")
CUSTOM = "monitoring.coreos.com/v1"
MIB = 2**20
# `kubectl apply` keeps the whole object in an annotation, and all annotations share this much.
ANNOTATIONS_BYTES = 256 * 1024


def validate(manifest: Manifest, version: str) -> None:
    """Check an object against the schema of a version of Kubernetes; unknown fields are faults."""
    if manifest["apiVersion"] == CUSTOM:
        operator.check(manifest)
    else:
        kubernetes_validate.validate(dict(manifest), version, strict=True)


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether labels are among those that a selector finds."""
    return bool(selector) and selector.items() <= labels.items()


def pods(built: Built) -> Iterator[Manifest]:
    """The templates of all pods."""
    for each in built.of_kind("Deployment"):
        yield each["spec"]["template"]


def port_names(pod: Manifest) -> set[str]:
    """The names of the ports of a pod."""
    return {port["name"] for each in pod["spec"]["containers"] for port in each.get("ports", ())}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_api_server_takes_every_object(built: Built, version: str) -> None:
    """Each object is valid for the oldest and for the newest Kubernetes, to the last field."""
    assert len(built.objects) > 5
    for manifest in built.objects:
        validate(manifest, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_component_can_be_taken_alone(with_one_component: Built, version: str) -> None:
    """The base with any one of the components is valid too."""
    for manifest in with_one_component.objects:
        validate(manifest, version)
        assert manifest["metadata"]["namespace"] == "llm"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("replica",), 2),
        (("replicas",), "two"),
        (("template", "spec", "containers", 0, "readinessProbe", "httpPath"), "/"),
        (("template", "spec", "securityContext", "runAsNonRoot"), "yes"),
    ],
)
def test_a_mistake_in_an_object_is_found(
    example: Built, path: tuple[str | int, ...], value: object
) -> None:
    """An unknown field and a value of the wrong type are refused."""
    wrong = copy.deepcopy(dict(example.balancer))
    place: Any = wrong["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong, VERSIONS[-1])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("ServiceMonitor", {"endpoint": []}),
        ("ServiceMonitor", {"endpoints": [{"port": "metrics", "interval": "15"}]}),
        ("ServiceMonitor", {"endpoints": []}),
        ("PrometheusRule", {"groups": [{"name": "a", "rules": [{"expr": 1, "record": "a:b"}]}]}),
        (
            "PrometheusRule",
            {"groups": [{"name": "a", "rules": [{"expr": "1", "labels": {"a": 1}}]}]},
        ),
    ],
)
def test_a_mistake_in_a_custom_resource_is_found(
    example: Built, kind: str, change: dict[str, object]
) -> None:
    """The operator's kinds are checked to the last field as well."""
    right = example.of_kind(kind)[0]
    with pytest.raises(ValidationError):
        operator.check({**right, "spec": {**right["spec"], **change}})


def test_no_two_objects_are_one(built: Built) -> None:
    """Each object has a kind and a name of its own, and one namespace holds them all."""
    known = [(each["kind"], each["metadata"]["name"]) for each in built.objects]
    assert len(known) == len(set(known))
    namespaces = {
        each["metadata"].get("namespace") for each in built.objects if each["kind"] != "Namespace"
    }
    assert namespaces == ({None} if built.name == "base" else {"inference"})


def test_every_object_is_small_enough_to_apply(built: Built) -> None:
    """No object outgrows a ConfigMap, nor the annotation in which kubectl keeps a copy of it."""
    for each in built.objects:
        size = len(json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode())
        assert size < MIB
        assert size < 0.9 * ANNOTATIONS_BYTES, each["metadata"]["name"]


def test_selectors_find_pods_and_ports_exist(built: Built) -> None:
    """A Service, a budget, a policy and a Deployment each select pods that there are."""
    templates = list(pods(built))
    labels = [each["metadata"]["labels"] for each in templates]
    for each in built.of_kind("Deployment"):
        selector = each["spec"]["selector"]["matchLabels"]
        assert matches(selector, each["spec"]["template"]["metadata"]["labels"])
    for each in built.of_kind("PodDisruptionBudget"):
        assert any(matches(each["spec"]["selector"]["matchLabels"], one) for one in labels)
    for each in built.of_kind("NetworkPolicy"):
        assert any(matches(each["spec"]["podSelector"]["matchLabels"], one) for one in labels)
    for each in built.of_kind("Service"):
        (pod,) = [
            one for one in templates if matches(each["spec"]["selector"], one["metadata"]["labels"])
        ]
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= port_names(pod)


def test_monitors_find_what_they_scrape(example: Built) -> None:
    """Every port that a monitor names is one of the Service that it selects."""
    for each in example.of_kind("ServiceMonitor"):
        (service,) = [
            one
            for one in example.of_kind("Service")
            if matches(each["spec"]["selector"]["matchLabels"], one["metadata"]["labels"])
        ]
        offered = {port["name"] for port in service["spec"]["ports"]}
        assert {end["port"] for end in each["spec"]["endpoints"]} == offered


def test_what_a_pod_mounts_is_there(built: Built) -> None:
    """Every mount has its volume, every volume is mounted, and ConfigMap and account exist."""
    names = {(each["kind"], each["metadata"]["name"]) for each in built.objects}
    assert ("ServiceAccount", built.pod["serviceAccountName"]) in names
    for template in pods(built):
        pod = template["spec"]
        every = [*pod.get("initContainers", ()), *pod["containers"]]
        mounted = {one["name"] for each in every for one in each.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names


def test_a_changed_configuration_rolls_out(built: Built, example: Built) -> None:
    """The ConfigMap that pods mount is named after its content, so that a change makes new pods."""
    (name,) = [each["configMap"]["name"] for each in built.pod["volumes"] if "configMap" in each]
    (other,) = [each["configMap"]["name"] for each in example.pod["volumes"] if "configMap" in each]
    assert name.startswith("vllm-nginx-lb-")
    assert (name == other) == (built.configuration == example.configuration)
