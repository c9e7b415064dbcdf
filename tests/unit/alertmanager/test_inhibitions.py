"""The inhibitions agree with the alerts that are shipped."""

import re
from typing import Any

import pytest

from tests.unit.alertmanager.configuration import alert_rules, shipped

MATCHER = re.compile(r'^(?P<label>\w+)(?P<sign>=~|!=|=)"(?P<text>.*)"$')
RULES: list[dict[str, Any]] = shipped()["inhibit_rules"]
GRAVITY = {"none": 0, "info": 1, "warning": 2, "critical": 3}


def matching(matchers: list[str]) -> list[dict[str, str]]:
    """The labels, as far as they are written down, of the shipped alerts that all matchers fit."""
    found = []
    for rule in alert_rules():
        labels = {**rule["labels"], "alertname": rule["alert"]}
        if all(_fits(matcher, labels) for matcher in matchers):
            found.append(labels)
    return found


def _fits(matcher: str, labels: dict[str, str]) -> bool:
    parts = MATCHER.match(matcher)
    assert parts is not None, matcher
    value = labels.get(parts["label"], "")
    if parts["sign"] == "=~":
        return re.fullmatch(parts["text"], value) is not None
    return (value == parts["text"]) == (parts["sign"] == "=")


def names(matchers: list[str]) -> set[str]:
    """The names of alerts that stand in matchers."""
    parts = [found for found in map(MATCHER.match, matchers) if found]
    return {
        name for part in parts if part["label"] == "alertname" for name in part["text"].split("|")
    }


def test_inhibitions_name_alerts_that_exist() -> None:
    """A name with a slip in it would silently inhibit nothing."""
    known = {rule["alert"] for rule in alert_rules()}
    named = {
        name
        for rule in RULES
        for name in names(rule["source_matchers"]) | names(rule["target_matchers"])
    }
    assert len(named) > 20
    assert named - known == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["source_matchers"][0])
def test_no_warning_holds_a_critical_alert_back(rule: dict[str, Any]) -> None:
    """What wakes people is never kept back by what does not."""
    sources = [GRAVITY[labels["severity"]] for labels in matching(rule["source_matchers"])]
    targets = [GRAVITY[labels["severity"]] for labels in matching(rule["target_matchers"])]
    assert targets, "inhibits nothing that exists"
    assert min(sources) >= max(targets)


def held_back_by(name: str) -> set[str]:
    """The alerts that an alert of this name holds back, whatever its labels."""
    return {
        target
        for rule in RULES
        if name in names(rule["source_matchers"])
        for target in names(rule["target_matchers"])
    }


def test_what_an_alert_may_not_be_the_cause_of_is_told() -> None:
    """An Nginx that is down sheds nothing, and names of one instance are not those of another."""
    assert "NginxReloadFailing" in held_back_by("NginxDown")
    assert "RequestsShed" not in held_back_by("NginxDown")
    assert held_back_by("MetricNamesWithoutColon") == set()


def test_only_a_critical_nginx_is_a_cause() -> None:
    """A warning of that name is about the exporter alone, and Nginx may reload and fail."""
    rules = [rule for rule in RULES if "NginxDown" in names(rule["source_matchers"])]
    assert rules
    assert all('severity="critical"' in rule["source_matchers"] for rule in rules)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["source_matchers"][0])
def test_no_inhibition_lasts_for_ever(rule: dict[str, Any]) -> None:
    """What always fires, or is not about a fault, keeps nothing back."""
    sources = {labels["alertname"] for labels in matching(rule["source_matchers"])}
    assert "Watchdog" not in sources
