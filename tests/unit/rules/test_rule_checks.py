"""Each check of a rule's fields finds the fault it is for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.inventory import inventory
from tests.unit.rules.known import Known, known
from tests.unit.rules.rule_checks import alert_faults, recording_faults
from tests.unit.rules.rule_files import made

Change = Callable[[dict[str, Any]], object]


def alert() -> dict[str, Any]:
    """An alert without a fault."""
    return {
        "alert": "TooHot",
        "expr": "max by (job, instance) (vllm:num_requests_running) > 9",
        "for": "5m",
        "labels": {"severity": "warning", "team": "serving"},
        "annotations": {
            "summary": "{{ $labels.instance }} is hot",
            "description": "It runs {{ $value }} requests.",
            "runbook_url": "docs/runbook/TooHot.md",
            "dashboard": "lb-backend",
        },
    }


@pytest.fixture(scope="module")
def some() -> Known:
    """The committed inventory."""
    return known(inventory(), [])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a runbook for the alert."""
    page = tmp_path / "docs" / "runbook" / "TooHot.md"
    page.parent.mkdir(parents=True)
    page.write_text("# TooHot\n\nWhat it means.\n")
    return tmp_path


def test_an_alert_with_all_fields_passes(some: Known, root: Path) -> None:
    """Nothing is said of a good alert."""
    assert list(alert_faults(made(alert()), some, root)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rule: rule.update(alert="too_hot"), "not in CamelCase"),
        (lambda rule: rule["labels"].pop("severity"), "severity is None"),
        (lambda rule: rule["labels"].update(severity="page"), "severity is 'page'"),
        (lambda rule: rule["labels"].update(team="infra"), "team is 'infra'"),
        (lambda rule: rule["labels"].update(load="{{ $value }}"), "the label load holds a value"),
        (lambda rule: rule["annotations"].pop("summary"), "it has no summary"),
        (lambda rule: rule["annotations"].update(description=" "), "it has no description"),
        (lambda rule: rule["annotations"].pop("runbook_url"), "runbook_url is not docs/runbook/"),
        (lambda rule: rule["annotations"].update(dashboard="x"), "dashboard is 'x'"),
        (
            lambda rule: rule["annotations"].update(summary="{{ $labels.model_name }}"),
            "shows the label model_name, which the expression drops",
        ),
    ],
)
def test_a_bad_alert_is_found(change: Change, told: str, some: Known, root: Path) -> None:
    """Whatever a person or a route would miss is named."""
    rule = alert()
    change(rule)
    assert any(told in fault for fault in alert_faults(made(rule), some, root))


def test_a_runbook_that_is_missing_or_another_alerts_is_found(some: Known, root: Path) -> None:
    """The page exists and is about this alert."""
    page = root / "docs" / "runbook" / "TooHot.md"
    page.write_text("# TooCold\n")
    assert list(alert_faults(made(alert()), some, root)) == [
        "docs/runbook/TooHot.md does not begin with # TooHot"
    ]
    page.unlink()
    assert list(alert_faults(made(alert()), some, root)) == [
        "docs/runbook/TooHot.md does not exist"
    ]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"record": "requests_running", "expr": "up"}, "is not level:metric:operations"),
        ({"record": "job:x", "expr": "up"}, "is not level:metric:operations"),
        ({"record": "Job:x:sum", "expr": "up"}, "is not level:metric:operations"),
        ({"record": "job:x:sum", "expr": "up", "labels": {"a": "b"}}, "the label a is not from"),
    ],
)
def test_a_bad_recording_is_found(entry: dict[str, Any], told: str) -> None:
    """A name without level or operation, and a label out of nowhere, are named."""
    assert any(told in fault for fault in recording_faults(made(entry)))


def test_a_good_recording_passes() -> None:
    """Nothing is said of a good recording."""
    assert list(recording_faults(made({"record": "job:x_seconds:p95_rate5m", "expr": "up"}))) == []
