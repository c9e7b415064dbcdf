"""Rules over recorded time: recordings by promtool, alerts as Prometheus would have raised them.

promtool evaluates recording rules over the past, but each only over what is stored already, and it
skips alerts. So recordings are put into layers, of which each needs only the ones before, and
alerts are evaluated here: their expressions by Prometheus, `for` by the few lines below.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lab.incidents.asking import over
from lab.incidents.history import History

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_Time = TypeVar("_Time", int, float)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule."""

    name: str
    expr: str
    for_s: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fired, from its first to its last evaluation as firing."""

    name: str
    labels: Mapping[str, str]
    first_s: float
    last_s: float


def recordings(files: Sequence[Path]) -> list[dict[str, Any]]:
    """All recording rules of some files."""
    return [rule for rule in _rules(files) if "record" in rule]


def alerts(files: Sequence[Path]) -> list[Alert]:
    """All alerting rules of some files."""
    return [
        Alert(rule["alert"], rule["expr"], _seconds(rule.get("for", "0s")), rule.get("labels", {}))
        for rule in _rules(files)
        if "alert" in rule
    ]


def layers(rules: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Recording rules in the order in which they can be evaluated, as many at once as possible.

    Raises:
        ValueError: Some need each other.
    """
    left = list(rules)
    while left:
        missing = {rule["record"] for rule in left}
        ready = [rule for rule in left if not missing & set(_NAME.findall(rule["expr"]))]
        if not ready:
            raise ValueError(f"rules that need each other: {sorted(missing)}")
        yield ready
        left = [rule for rule in left if rule not in ready]


def firings(
    url: str, rules: Sequence[Alert], history: History, *, start_s: int, end_s: int, step_s: int
) -> list[Firing]:
    """What fires when; the series ALERTS are added to the history.

    Args:
        url: A Prometheus that holds the recordings.
        rules: The alerts.
        history: Gets the ALERTS.
        start_s: First evaluation.
        end_s: Last evaluation.
        step_s: Time between two.
    """
    found: list[Firing] = []
    for rule in rules:
        # An alert goes on when another part of its expression takes over, under another name.
        times: dict[tuple[tuple[str, str], ...], set[int]] = {}
        for series in over(url, rule.expr, start_s, end_s, step_s):
            labels = {k: v for k, v in series.labels.items() if k != "__name__"}
            key = tuple(sorted((labels | dict(rule.labels)).items()))
            times.setdefault(key, set()).update(int(at_s) for at_s, _ in series.points)
        for key, active in times.items():
            found += _raise(rule, dict(key), sorted(active), step_s, history)
    return found


def _raise(
    rule: Alert, labels: Mapping[str, str], active: Sequence[int], step_s: int, history: History
) -> Iterator[Firing]:
    of = "".join(f',{k}="{v}"' for k, v in labels.items())
    for run in runs(active, step_s):
        firing = [at_s for at_s in run if at_s - run[0] >= rule.for_s]
        for at_s in run:
            state = "pending" if not firing or at_s < firing[0] else "firing"
            history.add(f'ALERTS{{alertname="{rule.name}",alertstate="{state}"{of}}}', at_s, 1)
            history.add(f'ALERTS_FOR_STATE{{alertname="{rule.name}"{of}}}', at_s, run[0])
        if firing:
            yield Firing(rule.name, labels, firing[0], firing[-1])


def runs(times: Sequence[_Time], step_s: float) -> Iterator[list[_Time]]:
    """Times that are no further apart than a step, together."""
    run: list[_Time] = []
    for at_s in times:
        if run and at_s - run[-1] > step_s:
            yield run
            run = []
        run.append(at_s)
    if run:
        yield run


def _rules(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def _seconds(duration: str) -> float:
    parts = re.findall(r"(\d+)([smhd])", duration)
    return float(sum(int(count) * _UNITS_S[unit] for count, unit in parts))
