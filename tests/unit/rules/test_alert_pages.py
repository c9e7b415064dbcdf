"""What is written about the alerts agrees with them, and can be pasted."""

import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser as promql
import pytest

from scripts.check_docs import ROOT
from tests.unit.rules.alert_files import Alert, alerts
from tests.unit.rules.known import Known
from tests.unit.rules.promql_checks import series_exist

ALERTS = alerts()
RUNBOOK = ROOT / "docs" / "runbook"
PAGES = sorted(path for path in RUNBOOK.glob("*.md") if path.name != "README.md")
ROW = re.compile(r"^\| (\w+) \| ([a-z, ]+) \| [^|]+ \| (\w+) \| \[page\]\(runbook/(\w+)\.md\) \|$")
INDEX_ROW = re.compile(r"^\| \[(\w+)\]\((\w+)\.md\) \| ([a-z, ]+) \| [^|]+ \|$")
FENCE = re.compile(r"^```promql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([a-z_]+:[a-z_]+:[a-z0-9_]+[^`]*|vllm[:_][a-z_]+[^`]*|sglang:[^`]+)`")
# What a reader has to find on each page, at the very least.
HEADINGS = ("## Look", "## Do", "## False alarm")
SEVERITIES = ("critical", "warning", "info", "none")


def rows(page: Path, form: re.Pattern[str]) -> dict[str, tuple[str, ...]]:
    """The rows of the tables of alerts on a page, by name of the alert."""
    found = (form.match(line) for line in page.read_text().splitlines())
    return {row[1]: row.groups()[1:] for row in found if row}


def severities(name: str) -> str:
    """The severities that an alert can have, gravest first."""
    own = {alert.rule.labels["severity"] for alert in ALERTS if alert.rule.name == name}
    return ", ".join(sorted(own, key=SEVERITIES.index))


def queries(page: Path) -> Iterator[str]:
    """The queries of a page: blank lines tell those of a block apart."""
    for block in FENCE.findall(page.read_text()):
        yield from (text.strip() for text in block.split("\n\n") if text.strip())


def test_the_table_of_alerts_is_that_of_the_rules() -> None:
    """docs/alerts.md names every alert with its severities, its patience and its page."""
    wanted = {
        alert.rule.name: (severities(alert.rule.name), alert.for_text, alert.rule.name)
        for alert in ALERTS
    }
    assert rows(ROOT / "docs" / "alerts.md", ROW) == wanted


def test_the_index_of_the_runbook_is_complete() -> None:
    """docs/runbook/README.md leads to the page of every alert, and nowhere else."""
    names = {alert.rule.name for alert in ALERTS}
    assert rows(RUNBOOK / "README.md", INDEX_ROW) == {
        name: (name, severities(name)) for name in names
    }
    assert {page.stem for page in PAGES} == names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_how_urgent_it_is_and_what_to_do(page: Path) -> None:
    """The first line after the title has the severity; where to look and what to do follow."""
    title, _, first, *_ = page.read_text().splitlines()
    assert title == f"# {page.stem}"
    assert first.startswith(f"Severity {severities(page.stem).split(',')[0]}")
    headings = [line for line in page.read_text().splitlines() if line.startswith("## ")]
    places = [
        next((n for n, line in enumerate(headings) if line.startswith(wanted)), -1)
        for wanted in HEADINGS
    ]
    assert -1 < places[0] < places[1] < places[2]


@pytest.mark.parametrize("page", [*PAGES, RUNBOOK / "README.md"], ids=lambda page: page.stem)
def test_queries_of_a_page_can_be_pasted(page: Path, offered: Known) -> None:
    """Each query parses, and reads series that somebody publishes or a rule records."""
    found = list(queries(page))
    assert found
    faults = [
        f"{query}: {fault}"
        for query in found
        for fault in series_exist(promql.parse(query), offered)
    ]
    # What Prometheus itself makes of alerts is no metric of anybody.
    assert [fault for fault in faults if not fault.startswith("ALERTS{")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_series_named_in_the_text_parse(page: Path) -> None:
    """A series that a sentence names is written so that it can be pasted."""
    for text in CODE.findall(page.read_text()):
        if "..." not in text:
            promql.parse(text)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert.rule))
def test_an_alert_has_a_reason_above_it(alert: Alert) -> None:
    """The comment above a rule says why its numbers are what they are."""
    lines = (ROOT / "rules" / "alerts.yml").read_text().splitlines()
    place = [n for n, line in enumerate(lines) if line == f"      - alert: {alert.rule.name}"]
    assert place
    assert all(lines[n - 1].startswith("      # ") for n in place)
