"""Every committed rule passes every check."""

from collections import Counter

import promql_parser as promql
import pytest

from tests.unit.rules.known import Known
from tests.unit.rules.promql_checks import CHECKS
from tests.unit.rules.rule_checks import alert_faults, recording_faults
from tests.unit.rules.rule_files import Rule, rule_files, rules

BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@pytest.mark.parametrize("rule", rules(), ids=str)
def test_the_expression_of_a_rule_has_no_fault(rule: Rule, offered: Known) -> None:
    """What a rule reads exists, and is read so that it means something."""
    expr = promql.parse(rule.expr)
    faults = [
        f"{name}: {fault}" for name, check in CHECKS.items() for fault in check(expr, offered)
    ]
    assert faults == []


@pytest.mark.parametrize("rule", rules("alert"), ids=str)
def test_an_alert_tells_a_person_all_that_is_needed(rule: Rule, offered: Known) -> None:
    """Severity, team, texts, runbook and dashboard are there, and its templates can be filled."""
    assert list(alert_faults(rule, offered)) == []


@pytest.mark.parametrize("rule", rules("record"), ids=str)
def test_a_recording_is_named_by_what_it_is(rule: Rule) -> None:
    """Its name is level:metric:operations, and its labels are those of its expression."""
    assert list(recording_faults(rule)) == []


def test_no_name_is_recorded_twice() -> None:
    """Two recordings of one name would be two truths."""
    counts = Counter(rule.name for rule in rules("record"))
    assert [name for name, count in counts.items() if count > 1] == []


def test_there_are_rules_to_check() -> None:
    """The files are found: no check passes for want of anything to check."""
    assert {"recording.yml"} <= {path.name for path in rule_files()}
    assert len(rules("record")) > 30


def test_the_labels_of_a_recording_are_those_of_its_level(offered: Known) -> None:
    """A backend is (job, instance, model_name), a model (job, model_name), as the contract says."""
    levels = {
        "backend": {"job", "instance", "model_name"},
        "backend_le": {"job", "instance", "model_name", "le"},
        "model": {"job", "model_name"},
        "pool": {"pool"},
        "upstream": {"pool", "upstream"},
        "pool_backend": {"pool", "backend"},
        "controller": {"job", "instance", "pool"},
    }
    # A weight is the controller's, which knows pools and addresses, not models.
    own = {"backend:weight_share:ratio": {"pool", "backend"}}
    wrong = {
        rule.name: offered.labels_of_series(rule.name)
        for rule in rules("record")
        if (wanted := own.get(rule.name, levels.get(rule.name.partition(":")[0])))
        and offered.labels_of_series(rule.name) != wanted
    }
    assert wrong == {}


def test_burn_rates_differ_in_nothing_but_their_window() -> None:
    """Seven copies of one expression stay copies."""
    by_name = {rule.name: rule.expr for rule in rules("record")}
    shapes = {
        by_name[f"model:ttft_slo_errors:ratio_rate{window}"].replace(f"[{window}]", "[]")
        for window in BURN_WINDOWS
    }
    assert len(shapes) == 1
