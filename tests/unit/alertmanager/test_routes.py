"""Who is told of what: asked of amtool, which routes as Alertmanager does."""

from pathlib import Path

import pytest

from lab.alertmanager import NotRenderedError, rendered
from tests.unit.alertmanager.amtool import amtool
from tests.unit.alertmanager.configuration import EVERYTHING, SHIPPED, alert_rules, secrets

pytestmark = pytest.mark.integration
INFO = {"info": "always"}


def check(config: Path) -> None:
    """Alertmanager accepts the file and its templates."""
    done = amtool("check-config", config)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variables", "labels", "receiver"),
    [
        ({}, ["severity=critical", "team=serving"], "serving-page"),
        ({}, ["severity=warning", "team=serving"], "serving-notice"),
        ({}, ["severity=info", "team=serving"], "nobody"),
        ({}, ["severity=none", "team=serving"], "nobody"),
        ({}, ["severity=critical", "team=monitoring"], "monitoring-page"),
        ({}, ["severity=warning", "team=monitoring"], "monitoring-notice"),
        ({}, ["severity=info", "team=monitoring"], "nobody"),
        ({}, ["severity=none", "team=monitoring"], "nobody"),
        (INFO, ["severity=info", "team=serving"], "serving-notice"),
        (INFO, ["severity=info", "team=monitoring"], "monitoring-notice"),
        ({}, ["alertname=Watchdog", "severity=none", "team=monitoring"], "watchdog"),
        # Alerts of others: told rather than lost.
        ({}, ["severity=critical"], "serving-page"),
        ({}, ["severity=critical", "team=storage"], "serving-page"),
        ({}, ["severity=page", "team=storage"], "serving-notice"),
        ({}, ["severity=page", "team=monitoring"], "monitoring-notice"),
        ({}, ["alertname=Elsewhere"], "serving-notice"),
        ({}, [], "serving-notice"),
    ],
)
def test_labels_lead_to_one_receiver(
    tmp_path: Path, variables: dict[str, str], labels: list[str], receiver: str
) -> None:
    """Each severity of each team has its receiver, and what is unknown has one too."""
    config = rendered(tmp_path, variables)
    asked = ["config", "routes", "test", f"--config.file={config}"]
    done = amtool(*asked, f"--verify.receivers={receiver}", *labels)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_receiver_made_for_it(tmp_path: Path) -> None:
    """No alert that is shipped falls through to the receiver for what is unknown."""
    config = rendered(tmp_path, {})
    expected = {
        ("critical", "serving"): "serving-page",
        ("warning", "serving"): "serving-notice",
        ("info", "serving"): "nobody",
        ("critical", "monitoring"): "monitoring-page",
        ("warning", "monitoring"): "monitoring-notice",
        ("none", "monitoring"): "watchdog",
    }
    for rule in alert_rules():
        labels = {**rule["labels"], "alertname": rule["alert"]}
        done = amtool(
            "config",
            "routes",
            "test",
            f"--config.file={config}",
            f"--verify.receivers={expected[labels['severity'], labels['team']]}",
            *(f"{name}={text}" for name, text in labels.items()),
        )
        assert done.returncode == 0, (rule["alert"], done.stdout + done.stderr)


def test_shipped_configuration_is_accepted() -> None:
    """The committed file can be used as it is."""
    check(SHIPPED / "alertmanager.yml")


@pytest.mark.parametrize(
    "names",
    [
        ["email_to", "email_from", "smtp"],
        ["email_to", "email_from", "smtp", "smtp_user", "smtp_password_file"],
        ["slack_url_file"],
        ["slack_url_file", "slack_channel"],
        ["pagerduty_key_file"],
        ["pagerduty_key_file", "pagerduty_url"],
        ["webhook_url_file"],
        ["webhook_url_file", "webhook_token_file"],
        ["dingtalk_url_file"],
        ["wecom_bot_url_file"],
        ["wecom_corp_id", "wecom_agent_id", "wecom_secret_file"],
        ["watchdog_url_file"],
        ["monitoring_email_to", "email_from", "smtp"],
        ["monitoring_slack_url_file"],
        ["monitoring_pagerduty_key_file"],
        ["warnings", "info", "working_days", "working_hours", "time_zone"],
        ["runbook_url", "grafana_url"],
    ],
    ids="+".join,
)
def test_each_receiver_alone_is_accepted(tmp_path: Path, names: list[str]) -> None:
    """Alertmanager accepts what any one receiver makes of the configuration."""
    known = {**EVERYTHING, **secrets(tmp_path)}
    check(rendered(tmp_path / "out", {name: known[name] for name in names}))


def test_all_receivers_together_are_accepted(tmp_path: Path) -> None:
    """Alertmanager accepts everything at once."""
    check(rendered(tmp_path / "out", {**EVERYTHING, **secrets(tmp_path)}))


def test_what_alertmanager_refuses_does_not_replace_what_works(tmp_path: Path) -> None:
    """A mistake that only Alertmanager knows of, such as a time zone, changes nothing on disk."""
    config = rendered(tmp_path, {})
    before = config.read_text()
    with pytest.raises(NotRenderedError, match="Alertmanager would refuse this"):
        rendered(tmp_path, {"time_zone": "Mars/Olympus"})
    assert config.read_text() == before
