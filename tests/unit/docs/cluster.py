"""What commands of kubectl name: subcommands, our objects, their containers, namespaces."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from scripts.check_docs import ROOT
from tests.unit.docs.arguments import Arguments, Tree, is_meant, parted, unknown

_KUBECTL = Tree.of(
    "annotate api-resources api-versions apply attach auth(can-i reconcile whoami) autoscale"
    " certificate cluster-info config cordon cp"
    " create(clusterrole clusterrolebinding configmap cronjob deployment ingress job namespace"
    " poddisruptionbudget priorityclass quota role rolebinding secret(docker-registry generic tls)"
    " service serviceaccount token)"
    " debug delete describe diff drain edit events exec explain expose get help kustomize label"
    " logs patch plugin port-forward proxy replace"
    " rollout(history pause restart resume status undo) run scale set"
    " taint top(node nodes pod pods) uncordon version wait"
)
_VALUES = frozenset(
    {
        *("-c", "-f", "-k", "-l", "-n", "-o", "-p", "--as", "--container", "--context"),
        *("--field-selector", "--filename", "--for", "--kubeconfig", "--kustomize", "--namespace"),
        *("--output", "--patch", "--replicas", "--selector", "--since", "--tail", "--timeout"),
        *("--type", "--from-file", "--from-literal", "--sort-by"),
    }
)
_KINDS = {
    **dict.fromkeys(("cm", "configmap", "configmaps"), "ConfigMap"),
    **dict.fromkeys(("deploy", "deployment", "deployments"), "Deployment"),
    **dict.fromkeys(("hpa", "horizontalpodautoscaler"), "HorizontalPodAutoscaler"),
    **dict.fromkeys(("netpol", "networkpolicy", "networkpolicies"), "NetworkPolicy"),
    **dict.fromkeys(("ns", "namespace", "namespaces"), "Namespace"),
    **dict.fromkeys(("pdb", "poddisruptionbudget", "poddisruptionbudgets"), "PodDisruptionBudget"),
    **dict.fromkeys(("podmonitor", "podmonitors"), "PodMonitor"),
    **dict.fromkeys(("prometheusrule", "prometheusrules"), "PrometheusRule"),
    **dict.fromkeys(("sa", "serviceaccount", "serviceaccounts"), "ServiceAccount"),
    **dict.fromkeys(("scaledobject", "scaledobjects"), "ScaledObject"),
    **dict.fromkeys(("secret", "secrets"), "Secret"),
    **dict.fromkeys(("servicemonitor", "servicemonitors"), "ServiceMonitor"),
    **dict.fromkeys(("svc", "service", "services"), "Service"),
}
# What is in these is not ours.
_OTHER_NAMESPACES = frozenset({"default", "keda", "kube-system", "monitoring"})


def kubectl_faults(arguments: Sequence[str]) -> Iterator[str]:
    """Subcommands that kubectl has not; objects, containers and namespaces that are not ours."""
    # What follows `--` runs in the pod.
    with_value = _VALUES - {"-f", "-p"} if "logs" in arguments else _VALUES
    given = parted(list(arguments)[: _end(arguments)], with_value)
    fault = unknown("kubectl", given.words, _KUBECTL)
    if fault:
        yield fault
        return
    spaces = given.values("-n", "--namespace")
    for each in spaces:
        if each not in _OTHER_NAMESPACES and each not in _objects()["Namespace"]:
            yield f"{each}: no namespace of deploy/kubernetes"
    if not _OTHER_NAMESPACES & set(spaces):
        yield from _object_faults(given)


def run_in_pod(arguments: Sequence[str]) -> Sequence[str]:
    """The command that `kubectl exec` runs in a pod; none for another command."""
    return arguments[_end(arguments) + 1 :] if "exec" in arguments else ()


def _end(arguments: Sequence[str]) -> int:
    return list(arguments).index("--") if "--" in arguments else len(arguments)


def _object_faults(given: Arguments) -> Iterator[str]:
    for kind, name in _named(given.words):
        if not is_meant(name) or kind not in _KINDS:
            continue
        found = _objects()[_KINDS[kind]]
        if name not in found:
            yield f"{kind}/{name}: no {_KINDS[kind]} of deploy/kubernetes or deploy/autoscaling"
            continue
        for container in given.values("-c", "--container"):
            if found[name] and container not in found[name]:
                yield f"{kind}/{name} has no container {container}"


def _named(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Kinds and names: as `kind/name`, or as the names after a kind."""
    # These are followed by directories and files.
    if list(words[:1]) in (["cp"], ["kustomize"]):
        return
    for word in words:
        kind, is_object, name = word.partition("/")
        if is_object:
            yield kind, name
    for at, word in enumerate(words[1:], start=1):
        if word in _KINDS:
            # `create secret generic NAME`: a type of secret comes between.
            rest = words[at + (2 if list(words[:2]) == ["create", "secret"] else 1) :]
            yield from ((word, name) for name in rest if "/" not in name)
            return


@functools.cache
def _objects() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """The names of our objects by kind, each with its containers."""
    found: dict[str, dict[str, frozenset[str]]] = {kind: {} for kind in _KINDS.values()}
    for manifest in _manifests():
        name = manifest["metadata"]["name"]
        pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
        inside = [*pod.get("initContainers", ()), *pod.get("containers", ())]
        here = found.setdefault(manifest["kind"], {})
        here[name] = here.get(name, frozenset()) | {each["name"] for each in inside}
    for secret in re.findall(r"secretName: (\S+)", _text()):
        found["Secret"][secret] = frozenset()
    # What a reader makes to fetch images with.
    found["Secret"]["images"] = frozenset()
    return found


@functools.cache
def _text() -> str:
    folders = (ROOT / "deploy/kubernetes", ROOT / "deploy/autoscaling")
    paths = sorted(path for folder in folders for path in folder.rglob("*.yaml"))
    return "\n---\n".join(path.read_text() for path in paths)


def _manifests() -> Iterator[Mapping[str, Any]]:
    for document in yaml.safe_load_all(_text()):
        if isinstance(document, dict) and document.get("kind") and "metadata" in document:
            yield document
