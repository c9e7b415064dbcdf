"""deploy/alertmanager/render.sh: what it writes, and what it refuses."""

from pathlib import Path

import pytest
import yaml

from lab.alertmanager import RENDER, NotRenderedError, rendered
from tests.unit.alertmanager.configuration import EVERYTHING, SHIPPED, secrets

# For tests that are not about the version, on machines with and without Alertmanager.
NEW = {"version": "0.34.0"}
OLD = {"version": "0.25.0"}


def test_shipped_files_are_what_no_variable_gives(tmp_path: Path) -> None:
    """The committed configuration is that of render.sh without variables, to the letter."""
    made = rendered(tmp_path, {})
    assert made.read_text() == (SHIPPED / "alertmanager.yml").read_text()
    for template in (SHIPPED / "templates").iterdir():
        assert (tmp_path / "templates" / template.name).read_text() == template.read_text()


def test_rendering_leaves_nothing_else_behind(tmp_path: Path) -> None:
    """The directory holds the configuration and its templates, also after a refusal."""
    rendered(tmp_path, {})
    with pytest.raises(NotRenderedError):
        rendered(tmp_path, {"time_zone": "Mars/Olympus", "repeat_warning": "soon"})
    assert {path.name for path in tmp_path.iterdir()} == {"alertmanager.yml", "templates"}


def test_every_variable_is_listed_with_its_default() -> None:
    """The head of the script names each variable that its body reads."""
    head, _, body = RENDER.read_text().partition("set -eu")
    read = {word.split(":=")[0] for word in body.split("${") if word.startswith("NOTIFY_")}
    read = {name for name in read if name.replace("_", "").isalpha()}
    assert len(read) > 30
    assert {name for name in read if f"{name}=" not in head} == set()


def test_receivers_have_only_what_was_asked_for(tmp_path: Path) -> None:
    """A receiver that nobody set up is nowhere in the configuration."""
    given = secrets(tmp_path)
    config = yaml.safe_load(
        rendered(tmp_path / "out", {"slack_url_file": given["slack_url_file"]}).read_text()
    )
    kinds = {each["name"]: set(each) - {"name"} for each in config["receivers"]}
    assert kinds["serving-page"] == kinds["monitoring-notice"] == {"slack_configs"}
    assert kinds["watchdog"] == kinds["nobody"] == set()
    assert "global" not in config


@pytest.mark.parametrize("version", [NEW, OLD])
def test_everything_at_once_is_one_document(tmp_path: Path, version: dict[str, str]) -> None:
    """With all variables set, each kind of receiver is there, for both teams."""
    config = yaml.safe_load(
        rendered(tmp_path / "out", {**EVERYTHING, **secrets(tmp_path), **version}).read_text()
    )
    receivers = {each["name"]: each for each in config["receivers"]}
    for name in ("serving-page", "serving-notice", "monitoring-page", "monitoring-notice"):
        paged = {"pagerduty_configs"} if name.endswith("page") else set()
        assert set(receivers[name]) - {"name"} == paged | {
            "email_configs",
            "slack_configs",
            "wechat_configs",
            "webhook_configs",
        }
        assert len(receivers[name]["webhook_configs"]) == 3
    assert receivers["monitoring-page"]["email_configs"][0]["to"] == "platform@example.com"
    assert "monitoring" in receivers["monitoring-page"]["slack_configs"][0]["api_url_file"]
    assert "monitoring" not in receivers["serving-page"]["slack_configs"][0]["api_url_file"]
    (times,) = config["time_intervals"][0]["time_intervals"]
    assert times == {
        "weekdays": ["monday:saturday"],
        "times": [{"start_time": "07:30", "end_time": "19:00"}],
        "location": "Asia/Shanghai",
    }


def test_version_decides_between_file_and_text(tmp_path: Path) -> None:
    """0.26 is the first that reads the URL of a webhook from a file; 1.0 would too."""
    given = {"watchdog_url_file": secrets(tmp_path)["watchdog_url_file"]}
    for version, expected in (
        ("0.25.9", "url"),
        ("v0.25.0", "url"),
        ("0.25", "url"),
        ("0.26.0", "url_file"),
        ("v0.26.0", "url_file"),
        ("1.0.0", "url_file"),
    ):
        made = rendered(tmp_path / "out", {**given, "version": version})
        receivers = yaml.safe_load(made.read_text())["receivers"]
        (beat,) = next(each for each in receivers if each["name"] == "watchdog")["webhook_configs"]
        assert set(beat) == {expected, "send_resolved"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"email_to": "a@example.com"}, "NOTIFY_EMAIL_FROM is needed"),
        ({"email_to": "a@example.com", "email_from": "b@example.com"}, "NOTIFY_SMTP is needed"),
        ({"email_to": "a'b@example.com"}, "NOTIFY_EMAIL_TO=a'b@example.com: a character"),
        ({"slack_channel": "x\n  - y"}, "NOTIFY_SLACK_CHANNEL"),
        ({"slack_url_file": "secrets/slack"}, "expected a path that begins with /"),
        ({"slack_url_file": "/nowhere/slack"}, "cannot be read"),
        ({"webhook_token_file": "/etc/hostname"}, "NOTIFY_WEBHOOK_URL_FILE is needed"),
        ({"smtp_user": "me"}, "NOTIFY_SMTP_PASSWORD_FILE is needed"),
        ({"wecom_corp_id": "ww1"}, "NOTIFY_WECOM_AGENT_ID is needed"),
        ({"grafana_url": "grafana.example"}, "expected http:// or https://"),
        ({"runbook_url": 'https://x"}}{{ .Status }}'}, "expected a URL"),
        ({"group_wait": "30"}, "expected a duration"),
        ({"repeat_critical": "1h; rm"}, "expected a duration"),
        ({"warnings": "sometimes"}, "expected one of always working-hours"),
        ({"info": "on"}, "expected one of off always working-hours"),
        ({"working_hours": "9-17"}, "expected a time of day"),
        ({"smtp_tls": "no"}, "expected one of on off"),
        ({"version": "newest"}, "expected a version"),
        ({"version": "0.25.0-rc.1"}, "expected a version"),
        ({"version": "00.25.0"}, "expected a version"),
    ],
)
def test_refusal_names_the_variable(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    """What cannot be meant is refused, with the name of the variable, and nothing is written."""
    with pytest.raises(NotRenderedError, match=r"^render\.sh: ") as refusal:
        rendered(tmp_path, variables)
    assert said in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["{}\n      continue: true", "\n{}", "{}\n"])
@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("group_wait", "30s"),
        ("group_interval", "5m"),
        ("repeat_critical", "1h"),
        ("repeat_warning", "12h"),
        ("watchdog_every", "1m"),
        ("working_hours", "08:00-18:00"),
        ("working_days", "monday:friday"),
        ("time_zone", "UTC"),
        ("version", "0.34.0"),
        ("warnings", "always"),
        ("info", "off"),
        ("group", "root"),
        ("email_to", "a@example.com"),
        ("grafana_url", "https://a.example"),
        ("slack_url_file", "/etc/hostname"),
    ],
)
def test_value_is_one_line(tmp_path: Path, name: str, sound: str, value: str) -> None:
    """A sound line among others is refused: the others would be lines of the configuration."""
    with pytest.raises(NotRenderedError, match=f"NOTIFY_{name.upper()}="):
        rendered(tmp_path, {name: value.format(sound)})
    assert list(tmp_path.iterdir()) == []


def test_files_of_another_machine_are_not_looked_for(tmp_path: Path) -> None:
    """With the check off, paths of the machine where Alertmanager will run are taken as such."""
    made = rendered(tmp_path, {"slack_url_file": "/run/secrets/slack", "check_files": "off"})
    assert "api_url_file: '/run/secrets/slack'" in made.read_text()
