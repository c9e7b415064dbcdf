"""The cases of the alerts are complete, so that no alert is untested either way."""

from collections import Counter

import pytest

from tests.unit.rules.alert_files import Alert, Case, alerts, case_tests

ALERTS = alerts()
TESTS = case_tests()
CASES = [case for test in TESTS for case in test]
# It fires whatever happens.
ALWAYS = {"Watchdog"}
NAMES = sorted({alert.rule.name for alert in ALERTS} - ALWAYS)
PATIENT = sorted({alert.rule.name for alert in ALERTS if alert.for_s})


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert.rule))
def test_each_alert_has_a_case_in_which_it_fires_with_all_its_texts(alert: Alert) -> None:
    """Of two alerts of one name, a case expects each, with every label and text of the rule."""
    own = alert.rule.labels.items()
    expected = [
        found
        for case in CASES
        if case.alert == alert.rule.name
        for found in case.expected
        if own <= found["exp_labels"].items()
    ]
    assert expected
    for found in expected:
        assert found["exp_annotations"].keys() == alert.rule.annotations.keys()
        assert "<" not in "".join(found["exp_annotations"].values()), "a template that failed"


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_case_in_which_it_does_not_fire(name: str) -> None:
    """An alert that fires in every case may fire always."""
    assert [case for case in CASES if case.alert == name and not case.expected]


@pytest.mark.parametrize("name", PATIENT)
def test_a_patient_alert_is_looked_at_before_its_time(name: str) -> None:
    """An alert with `for` has a test in which it is silent first and fires a few minutes later."""
    assert any(
        0 < later.at_s - earlier.at_s <= 300
        for test in TESTS
        for earlier in _of(test, name)
        for later in _of(test, name)
        if later.expected and not earlier.expected
    )


def _of(test: list[Case], name: str) -> list[Case]:
    return [case for case in test if case.alert == name]


def test_every_case_is_of_an_alert_that_exists() -> None:
    """A case of an alert that was renamed would pass for ever where it expects nothing."""
    assert sorted({case.alert for case in CASES} - set(NAMES) - ALWAYS) == []


def test_both_severities_of_a_stall_watch_the_same() -> None:
    """BackendStalled is critical unless, and a warning if, the backend was taken out."""
    grave, mild = (alert.rule.expr for alert in ALERTS if alert.rule.name == "BackendStalled")
    assert grave != mild
    assert "and on (instance)".join(grave.rsplit("unless on (instance)", 1)) == mild


def test_alerts_of_one_name_differ_in_severity() -> None:
    """Two alerts with all labels alike could not be told apart."""
    counts = Counter((alert.rule.name, alert.rule.labels["severity"]) for alert in ALERTS)
    assert [key for key, count in counts.items() if count > 1] == []
