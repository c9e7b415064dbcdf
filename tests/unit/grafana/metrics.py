"""What exists: the committed inventory of metrics, and the recordings of the rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[3] / "rules"
_SUFFIXES = {
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
}
# What a scrape adds.
_TARGET = {"job", "instance"}
# What the documented scrape configuration adds.
_OF_THE_JOB = {"nginx_exporter": ("lb",)}


@dataclass(frozen=True, slots=True)
class Metric:
    """A series name that Prometheus may hold.

    Attributes:
        counter: It only grows, so only its rate means something.
        labels: Those it can have; None when any.
    """

    counter: bool
    labels: frozenset[str] | None


@cache
def inventory() -> Mapping[str, Metric]:
    """Every series that engines, controller, Nginx, Prometheus and Alertmanager publish."""
    found: dict[str, Metric] = {}
    for path in sorted((RULES / "inventory").glob("*.yml")):
        for name, facts in _read(path).items():
            labels = _labels([*facts.get("labels", ()), *_OF_THE_JOB.get(path.stem, ())])
            kind = facts["type"]
            for suffix in _SUFFIXES.get(kind, ("",)):
                more = {"le"} if suffix == "_bucket" else set()
                known = labels if labels is None else labels | more
                found[name + suffix] = Metric(kind == "counter" or bool(suffix), known)
    return found


@cache
def recordings() -> Mapping[str, str]:
    """The expression of every recording."""
    return {rule["record"]: rule["expr"] for rule in _rules() if "record" in rule}


@cache
def alerts() -> Mapping[str, str]:
    """The expression of every alert."""
    return {rule["alert"]: rule["expr"] for rule in _rules() if "alert" in rule}


def _rules() -> list[dict[str, Any]]:
    files = [_read(path) for path in sorted(RULES.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def _labels(named: list[str]) -> frozenset[str] | None:
    if "*" in named:
        return None
    return frozenset(named) | _TARGET


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content
