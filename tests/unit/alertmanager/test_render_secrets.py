"""deploy/alertmanager/render.sh and secrets: where they stand, and that none is shown."""

from pathlib import Path

import pytest
import yaml

from lab.alertmanager import NotRenderedError, rendered
from tests.unit.alertmanager.configuration import EVERYTHING, secrets

# For tests that are not about the version, on machines with and without Alertmanager.
NEW = {"version": "0.34.0"}
OLD = {"version": "0.25.0"}


def test_secrets_stay_in_their_files_where_alertmanager_reads_files(tmp_path: Path) -> None:
    """From 0.26 on no secret but WeCom's, which has no file in all versions, is written down."""
    given = secrets(tmp_path)
    del given["wecom_secret_file"]
    without_wecom = {name: text for name, text in EVERYTHING.items() if "wecom" not in name}
    made = rendered(tmp_path / "out", {**without_wecom, **given, **NEW})
    assert "s3cret" not in made.read_text()
    assert made.stat().st_mode & 0o777 == 0o644


def test_configuration_with_a_secret_is_not_for_everybody(tmp_path: Path) -> None:
    """Before 0.26 the URL of a webhook stands in the configuration, which others cannot read."""
    given = secrets(tmp_path)
    made = rendered(tmp_path / "out", {"webhook_url_file": given["webhook_url_file"], **OLD})
    (webhook,) = yaml.safe_load(made.read_text())["receivers"][0]["webhook_configs"]
    assert webhook["url"] == "https://webhook-url-file.example/s3cret"
    assert made.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("content", ["", "\n", "https://a.example\nhttps://b.example\n"])
def test_secret_file_holds_one_line(tmp_path: Path, content: str) -> None:
    """An empty file is refused now, not when the first alert could not be sent."""
    secret = tmp_path / "secret"
    secret.write_text(content)
    with pytest.raises(NotRenderedError, match=r"NOTIFY_SLACK_URL_FILE.*expected one line"):
        rendered(tmp_path / "out", {"slack_url_file": secret})


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_password_of_mail_ends_without_a_newline(tmp_path: Path, end: str) -> None:
    """Alertmanager 0.25 would send the newline as a part of the password, and be turned away."""
    secret = tmp_path / "secret"
    secret.write_text(f"s3cret{end}")
    mail = {"email_to": "a@example.com", "email_from": "b@example.com", "smtp": "localhost:25"}
    login = {"smtp_user": "b", "smtp_password_file": secret}
    with pytest.raises(NotRenderedError, match="NOTIFY_SMTP_PASSWORD_FILE"):
        rendered(tmp_path / "out", {**mail, **login})


def test_webhook_file_must_hold_a_url(tmp_path: Path) -> None:
    """A key in the place of a URL is noticed where the URL has to be read."""
    secret = tmp_path / "secret"
    secret.write_text("abcdef\n")
    with pytest.raises(NotRenderedError, match="expected http:// or https://"):
        rendered(tmp_path / "out", {"webhook_url_file": secret, **OLD})


@pytest.mark.integration
@pytest.mark.parametrize("name", ["webhook_url_file", "watchdog_url_file"])
@pytest.mark.parametrize("url", ["http://host:s3cret/x", "http://h/%zzs3cret", "http://\x7fs3cret"])
def test_refused_url_is_not_shown(tmp_path: Path, name: str, url: str) -> None:
    """What Alertmanager would refuse of a secret is told without the secret."""
    secret = tmp_path / "secret"
    secret.write_text(url)
    with pytest.raises(NotRenderedError, match="Alertmanager would refuse a secret") as refusal:
        rendered(tmp_path / "out", {name: secret})
    assert "s3cret" not in str(refusal.value)
    assert "host" not in str(refusal.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.integration
def test_other_faults_are_told_beside_a_secret(tmp_path: Path) -> None:
    """A fault that is no secret is named as amtool names it, and the secrets are not."""
    given = secrets(tmp_path)
    with pytest.raises(NotRenderedError, match="Mars/Olympus") as refusal:
        rendered(tmp_path / "out", {**EVERYTHING, **given, "time_zone": "Mars/Olympus"})
    assert "s3cret" not in str(refusal.value)
