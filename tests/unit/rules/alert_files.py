"""Alerts and their cases, as the files have them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from scripts.check_docs import ROOT
from tests.unit.rules.rule_files import RULES, Rule, made

_UNIT_S = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert with its patience.

    Attributes:
        rule: What it is and says.
        for_text: How long its condition has to hold, as written; "0s" when it is not.
    """

    rule: Rule
    for_text: str

    @property
    def for_s(self) -> int:
        """The same in seconds."""
        return seconds(self.for_text)


@dataclass(frozen=True, slots=True)
class Case:
    """A moment of a test, and which alerts of a name are expected then.

    Attributes:
        alert: Its name.
        at_s: The moment.
        expected: Labels and annotations of those that fire.
    """

    alert: str
    at_s: int
    expected: Sequence[Mapping[str, Mapping[str, str]]]


def seconds(text: str) -> int:
    """A duration as Prometheus writes it."""
    return sum(int(number) * _UNIT_S[unit] for number, unit in re.findall(r"(\d+)([dhms])", text))


def alerts() -> list[Alert]:
    """All alerts of rules/alerts.yml."""
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [
        Alert(made(entry, group["name"]), entry.get("for", "0s"))
        for group in groups
        for entry in group["rules"]
    ]


def case_tests() -> list[list[Case]]:
    """The cases of all test files, test by test."""
    return [
        [_case(entry) for entry in test.get("alert_rule_test", ())]
        for path in sorted((ROOT / "rules" / "tests").glob("*.yml"))
        for test in yaml.safe_load(path.read_text())["tests"]
    ]


def _case(entry: Mapping[str, Any]) -> Case:
    return Case(entry["alertname"], seconds(entry["eval_time"]), entry.get("exp_alerts") or ())
