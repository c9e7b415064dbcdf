"""What docs/notifications.md tells a stranger to type does what the page says."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab.alertmanager import RunningAlertmanager, alertmanager, rendered
from lab.receivers import WebhookReceiver, webhook_receiver
from tests.integration.notified import QUICK, ROOT, to_webhook, until

pytestmark = pytest.mark.integration
PAGE = (ROOT / "docs" / "notifications.md").read_text()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the commands of the page are tried."""

    directory: Path
    alertmanager: RunningAlertmanager
    webhook: WebhookReceiver

    def run(self, commands: str) -> str:
        """Run commands of the page with this place for that of the reader; returns their output."""
        for written, here in (
            ("http://127.0.0.1:9093", self.alertmanager.url),
            ("/etc/prometheus", str(self.directory)),
        ):
            commands = commands.replace(written, here)
        done = subprocess.run(
            ["sh", "-euc", commands],
            cwd=ROOT,
            env={**os.environ, "HOME": str(self.directory)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An Alertmanager that tells a webhook, as soon as it can."""
    directory = tmp_path_factory.mktemp("docs")
    with webhook_receiver() as webhook:
        hooks = to_webhook(directory / "secrets", webhook, "webhook")
        config = rendered(directory / "notify", {**QUICK, **hooks})
        with alertmanager(directory, config) as running:
            yield Place(directory, running, webhook)


def block(heading: str, number: int = 0) -> str:
    """A block of commands below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return str(re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[number])


def without_services(commands: str) -> str:
    """The commands but for those that install and restart services, which a test has not."""
    kept = [line for line in commands.splitlines() if not re.match(r"apt-get|systemctl|echo", line)]
    return "\n".join(kept)


def test_test_notification_arrives(place: Place) -> None:
    """The alert that the page tells to add is told to the webhook, as critical."""
    assert "TestNotification" in place.run(block("Try it"))
    until(lambda: place.webhook.to("/webhook"))
    (body,) = place.webhook.to("/webhook")
    assert body["receiver"] == "serving-page"
    assert body["commonAnnotations"] == {"summary": "Only a test"}


def test_routes_are_shown(place: Place) -> None:
    """The page's question for a receiver is answered with one."""
    assert "serving-notice" in place.run(block("Try it", 1))


def test_silence_is_made(place: Place) -> None:
    """The silence that the page tells to add is there afterwards, with its comment."""
    assert "new driver" in place.run(block("Silence"))


def test_configuration_is_written_as_the_page_says(place: Place) -> None:
    """Both ways to call render.sh leave a configuration; the second one with mail."""
    place.run(without_services(block("Set it up")))
    config = place.directory / "notify" / "alertmanager.yml"
    assert "global" not in yaml.safe_load(config.read_text())
    place.run(without_services(block("Set it up", 1)))
    assert yaml.safe_load(config.read_text())["global"]["smtp_smarthost"] == "mail.example.com:587"
    assert "https://grafana.example.com" in (config.parent / "templates/links.tmpl").read_text()


def test_page_names_only_variables_that_exist() -> None:
    """Every variable of the page is one of render.sh."""
    known = (ROOT / "deploy" / "alertmanager" / "render.sh").read_text()
    named = set(re.findall(r"NOTIFY_[A-Z_]+", PAGE))
    assert len(named) > 15
    assert [name for name in named if f"{name}=" not in known] == []
