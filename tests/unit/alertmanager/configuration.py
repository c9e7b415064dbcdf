"""The files under test, and what else they have to agree with."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "deploy" / "alertmanager"
# Every variable that turns something on, with a value that it takes.
EVERYTHING = {
    "runbook_url": "https://git.example/lb/blob/main/",
    "grafana_url": "https://grafana.example",
    "email_to": "oncall@example.com, lead@example.com",
    "email_from": "Serving <serving@example.com>",
    "smtp": "mail.example.com:587",
    "smtp_user": "serving@example.com",
    "slack_channel": "#serving",
    "pagerduty_url": "https://events.eu.pagerduty.com/v2/enqueue",
    "wecom_corp_id": "wwabcdef",
    "wecom_agent_id": "1000002",
    "wecom_url": "https://qyapi.example/cgi-bin/",
    "monitoring_email_to": "platform@example.com",
    "warnings": "working-hours",
    "info": "always",
    "working_days": "monday:saturday",
    "working_hours": "07:30-19:00",
    "time_zone": "Asia/Shanghai",
}
SECRETS = (
    "smtp_password_file",
    "slack_url_file",
    "pagerduty_key_file",
    "webhook_url_file",
    "webhook_token_file",
    "dingtalk_url_file",
    "wecom_bot_url_file",
    "wecom_secret_file",
    "watchdog_url_file",
    "monitoring_slack_url_file",
    "monitoring_pagerduty_key_file",
)


def secrets(directory: Path) -> dict[str, str]:
    """A file for each secret, each with a line of its own; a URL serves as a key as well."""
    for name in SECRETS:
        # The password alone must not end with a newline.
        end = "" if name == "smtp_password_file" else "\n"
        (directory / name).write_text(f"https://{name.replace('_', '-')}.example/s3cret{end}")
    return {name: str(directory / name) for name in SECRETS}


def shipped() -> dict[str, Any]:
    """The committed alertmanager.yml."""
    return dict(yaml.safe_load((SHIPPED / "alertmanager.yml").read_text()))


def alert_rules() -> list[dict[str, Any]]:
    """The rules of rules/alerts.yml that are alerts."""
    groups = yaml.safe_load((ROOT / "rules" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]
