"""What a block of YAML is, and what whoever reads such a file has against it."""

import importlib
import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from controller.app.config import Config, PoolConfig
from controller.app.load import parse
from controller.core.errors import ConfigError
from scripts.check_docs import ROOT

Value = Any
Check = Callable[[Value, Path], Iterator[str]]

_PROMETHEUS = frozenset(
    {
        *("alerting", "global", "remote_read", "remote_write", "rule_files", "scrape_config_files"),
        *("scrape_configs", "storage", "tracing"),
    }
)
_RELABELLING = frozenset({"metric_relabel_configs", "relabel_configs"})
_ALERTMANAGER = frozenset(
    {"global", "inhibit_rules", "mute_time_intervals", "receivers", "route", "templates"}
)
_COMPOSE = frozenset({"configs", "include", "name", "networks", "secrets", "services", "volumes"})
_KUSTOMIZATION = frozenset(
    {
        *("apiVersion", "kind", "metadata", "bases", "buildMetadata", "commonAnnotations"),
        *("components", "configMapGenerator", "configurations", "crds", "generatorOptions"),
        *("generators", "images", "labels", "namePrefix", "namespace", "nameSuffix", "openapi"),
        *("patches", "replacements", "replicas", "resources", "secretGenerator", "sortOptions"),
        *("transformers", "validators"),
    }
)
_POOL = {"name": "llm", "selector": 'job="vllm"'}
_BACKENDS = [{"address": "10.0.0.11:8000"}]
_SHARED = {"directory": "/srv", "confirm_url": "http://127.0.0.1:8081/lb/generation"}


def faults_of(text: str, directory: Path) -> Iterator[str]:
    """What is wrong with a block; `directory` is for the files that programs are asked about."""
    try:
        documents = [value for value in yaml.safe_load_all(text) if value is not None]
    except yaml.YAMLError as error:
        yield f"not YAML: {error}"
        return
    if not documents:
        yield "holds nothing"
    for document in documents:
        check = check_of(document)
        if check is None:
            yield "of no known file: yaml_blocks.check_of knows them by their keys"
        else:
            yield from check(document, directory)


def check_of(document: Value) -> Check | None:
    """Who reads a document, by its keys; None for nobody known."""
    if isinstance(document, list):
        return _check_of_list(document)
    if not isinstance(document, dict) or not document:
        return None
    keys = frozenset(document)
    for known, check in (
        (keys >= {"apiVersion", "kind"}, _kubernetes),
        (keys == {"groups"}, _rules),
        (keys <= frozenset(Config.model_fields), _controller),
        (keys <= frozenset(PoolConfig.model_fields), _pool),
        (keys <= _PROMETHEUS, _prometheus),
        (keys <= _RELABELLING, _relabelling),
        (keys <= _ALERTMANAGER, _alertmanager),
        (keys <= _KUSTOMIZATION, _kustomization),
        (all(key in _COMPOSE or str(key).startswith("x-") for key in keys), _compose),
    ):
        if known:
            return check
    return None


def _check_of_list(document: list[Value]) -> Check | None:
    items = [item for item in document if isinstance(item, dict)]
    if len(items) != len(document) or not items:
        return None
    if all("job_name" in item for item in items):
        return lambda value, directory: _prometheus({"scrape_configs": value}, directory)
    if all(item.keys() & {"source_labels", "target_label"} for item in items):
        return lambda value, directory: _relabelling({"relabel_configs": value}, directory)
    if all("targets" in item for item in items):
        return lambda value, directory: _prometheus(
            {"scrape_configs": [{"job_name": "job", "static_configs": value}]}, directory
        )
    return None


def _controller(document: Value, _: Path) -> Iterator[str]:
    """The controller's own reader judges, with the least put in for what the page leaves out."""
    whole = {"prometheus": {}, "nginx": {}, "pools": [{}]} | document
    whole["prometheus"] = {"url": "http://127.0.0.1:9090"} | whole["prometheus"]
    whole["nginx"] = {"mode": "local"} | whole["nginx"]
    if whole["nginx"]["mode"] == "shared_volume":
        whole["nginx"] = _SHARED | whole["nginx"]
    whole["pools"] = [
        _POOL | ({} if pool.keys() & {"backends", "discovery"} else {"backends": _BACKENDS}) | pool
        for pool in whole["pools"]
    ]
    try:
        parse(yaml.safe_dump(whole), "the controller's file")
    except ConfigError as error:
        yield from error.faults


def _pool(document: Value, directory: Path) -> Iterator[str]:
    yield from _controller({"pools": [document]}, directory)


def _rules(document: Value, directory: Path) -> Iterator[str]:
    yield from _judged(document, directory, "promtool", "check", "rules")


def _prometheus(document: Value, directory: Path) -> Iterator[str]:
    # Whether the files that it names are there is not this machine's to say.
    yield from _judged(document, directory, "promtool", "check", "config", "--syntax-only")


def _relabelling(document: Value, directory: Path) -> Iterator[str]:
    yield from _prometheus({"scrape_configs": [{"job_name": "job", **document}]}, directory)


def _alertmanager(document: Value, directory: Path) -> Iterator[str]:
    whole = {"route": {"receiver": "r"}, "receivers": [{"name": "r"}], **document}
    yield from _judged(whole, directory, "amtool", "check-config")


def _judged(document: Value, directory: Path, *command: str) -> Iterator[str]:
    file = directory / "block.yml"
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run([*command, file], capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"{' '.join(command)}: {done.stdout}{done.stderr}"


def _kubernetes(document: Value, directory: Path) -> Iterator[str]:
    if str(document["apiVersion"]).startswith("kustomize.config.k8s.io/"):
        yield from _kustomization(document, directory)
        return
    if not isinstance(document.get("metadata"), dict) or "name" not in document["metadata"]:
        yield f"{document['kind']}: metadata has no name"
    # Pages are checked where that package is not installed, too.
    if importlib.util.find_spec("kubernetes_validate"):
        yield from _schema_faults(document)


def _kustomization(document: Value, _: Path) -> Iterator[str]:
    yield from (f"kustomize knows no {key}" for key in document.keys() - _KUSTOMIZATION)


def _schema_faults(document: Value) -> Iterator[str]:
    schemas = importlib.import_module("kubernetes_validate")
    try:
        schemas.validate(document, schemas.latest_version(), strict=True)
    except schemas.SchemaNotFoundError:
        return  # a kind of an operator, not of Kubernetes
    except schemas.ValidationError as error:
        yield f"{document['kind']}: {error.message}"


def _compose(document: Value, _: Path) -> Iterator[str]:
    known = frozenset(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])
    for name, service in (document.get("services") or {}).items():
        if name not in known and not {"build", "extends", "image"} & frozenset(service or ()):
            yield f"service {name}: docker-compose.yml has none, and it names no image"
