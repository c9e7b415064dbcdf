"""What notifications say: rendered by amtool, compared with committed texts.

To accept a change: `UPDATE_GOLDEN=1 pytest -m integration tests/unit/alertmanager`, and read the
difference.
"""

import html.parser
import os
import re
from pathlib import Path

import pytest

from lab.alertmanager import rendered
from tests.unit.alertmanager.amtool import expanded

pytestmark = pytest.mark.integration
DATA = Path(__file__).parent / "notifications"
KINDS = {
    "subject": ("lb.subject", "text"),
    "text": ("lb.text", "text"),
    "html": ("lb.email.html", "html"),
    "slack": ("lb.slack.text", "text"),
    "slack-title": ("lb.slack.title", "text"),
    "wecom": ("lb.wecom.text", "text"),
}
NAMES = sorted(path.stem for path in DATA.glob("*.json"))
# A message of WeCom ends there, in the middle of a word if need be.
WECOM_BYTES = 2048


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Templates that know where the links lead."""
    links = {
        "runbook_url": "https://git.example/lb/blob/main/",
        "grafana_url": "https://grafana.example",
    }
    return rendered(tmp_path_factory.mktemp("templates"), links).parent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_notification_reads_as_committed(name: str, kind: str, directory: Path) -> None:
    """Each template makes of each group of alerts exactly the committed text."""
    template, escaping = KINDS[kind]
    made = expanded(directory, template, DATA / f"{name}.json", escaping)
    golden = DATA / f"{name}.{kind}"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(made)
    assert made == golden.read_text()


def test_every_committed_text_is_compared() -> None:
    """No committed text is left over from a notification that is no more."""
    expected = {f"{name}.{kind}" for name in NAMES for kind in [*KINDS, "json"]}
    assert {path.name for path in DATA.iterdir()} == expected


class Tags(html.parser.HTMLParser):
    """Notes which elements a page has, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        self.names.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_labels_cannot_add_elements_or_scripts_to_a_mail(directory: Path) -> None:
    """A value stays text: no element, and no link that is not http, comes out of it."""
    tags = Tags()
    tags.feed(expanded(directory, "lb.email.html", DATA / "hostile.json", "html"))
    assert not tags.names & {"script", "img", "b"}
    assert tags.links
    assert not [link for link in tags.links if not link.startswith(("https://", "http://", "#"))]


def test_labels_cannot_call_a_slack_channel(directory: Path) -> None:
    """In Slack's mark-up only our own links stand in angle brackets."""
    for template in ("lb.slack.text", "lb.slack.title"):
        made = expanded(directory, template, DATA / "hostile.json")
        assert all(found.startswith("<http") for found in re.findall(r"<[^>]*>?", made))


@pytest.mark.parametrize("name", NAMES)
def test_wecom_message_is_not_cut(name: str, directory: Path) -> None:
    """The message for WeCom fits into what WeCom shows, however many alerts there are."""
    made = expanded(directory, "lb.wecom.text", DATA / f"{name}.json")
    assert len(made.encode()) <= WECOM_BYTES


def test_without_base_urls_nothing_leads_nowhere(tmp_path: Path) -> None:
    """With no URL set there is no dashboard link, and the runbook is shown as its path."""
    plain = rendered(tmp_path, {}).parent
    made = expanded(plain, "lb.text", DATA / "firing.json")
    assert "Dashboard" not in made
    assert "\nRunbook: docs/runbook/BackendStalled.md\n" in made
    assert "\nSilence: http://alertmanager.example:9093/#/silences/new?filter=" in made
