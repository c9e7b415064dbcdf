"""The committed dashboards are clean, current, and show what they are there for."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from controller.core.reasons import BackendReason
from grafana import looks
from grafana.queries import panels, queries
from tests.unit.grafana.conftest import committed
from tests.unit.grafana.lints_panels import leads_somewhere
from tests.unit.grafana.lints_queries import LINTS, Lint
from tests.unit.grafana.metrics import alerts

Boards = Mapping[str, Mapping[str, Any]]


@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.__name__)
@pytest.mark.parametrize("path", committed(), ids=lambda path: path.stem)
def test_a_committed_dashboard_has_no_fault(path: Path, lint: Lint) -> None:
    """No lint finds anything to say."""
    assert list(lint(json.loads(path.read_text(encoding="utf-8")))) == []


def test_every_link_leads_somewhere(boards: Boards) -> None:
    """Dashboards that are linked to exist, with the variables that the links set."""
    assert list(leads_somewhere(boards)) == []


def test_there_are_three_dashboards(boards: Boards) -> None:
    """Their uids are what alerts and links name, in the model that Grafana 11 to 13 read."""
    assert {board["uid"] for board in boards.values()} == {
        "lb-fleet",
        "lb-backend",
        "lb-controller",
    }
    assert {board["schemaVersion"] for board in boards.values()} == {42}


def test_every_reason_of_the_controller_has_words() -> None:
    """A reason without a state would leave a hole in the timeline."""
    named = [reason for _, _, reasons in looks.STATES.values() for reason in reasons]
    assert sorted(named) == sorted(BackendReason)


@pytest.mark.parametrize(
    ("alert", "limit"),
    [
        ("KvSaturated", looks.CACHE_TIGHT),
        ("KvSaturated", looks.CACHE_FULL),
        ("BackendErrorRatio", looks.ERROR_SHARE),
        ("NginxErrorRatio", looks.ERROR_SHARE),
        ("RequestsShed", looks.SHED_SHARE),
        ("LoadImbalanced", looks.IMBALANCE),
        ("QueueTimeHigh", looks.QUEUE_S),
        ("TtftBurnFast", looks.BURN_HOUR * (1 - looks.SLO_OBJECTIVE)),
        ("TtftBurnFast", looks.BURN_SIX_HOURS * (1 - looks.SLO_OBJECTIVE)),
    ],
)
def test_a_panel_turns_red_where_its_alert_fires(alert: str, limit: float) -> None:
    """The limits drawn are those of the rules."""
    assert f"> {limit:g}" in alerts()[alert]


def test_the_proof_panel_compares_what_is_wanted_with_what_is_done(boards: Boards) -> None:
    """It has both shares for the same backends, under the same names."""
    asked = [query for query in queries(boards["fleet.json"]) if "dashed" in query.panel_title]
    assert ["weight_share" in query.expr for query in asked] == [True, False]
    assert ["request_share" in query.expr for query in asked] == [False, True]
    assert {query.legend for query in asked} == {"{{pool}} {{backend}}"}


@pytest.mark.parametrize("name", ["weights", "reload", "fail-safe"])
def test_what_the_controller_did_is_marked_on_every_dashboard(boards: Boards, name: str) -> None:
    """Changes of weights, reloads and fail-safe are annotations."""
    for board in boards.values():
        marks = [mark["name"].lower() for mark in board["annotations"]["list"]]
        assert any(name in mark for mark in marks)


def test_nothing_is_hidden_in_a_menu(boards: Boards) -> None:
    """The SDK would hide all links and annotations behind a button."""
    assert [name for name, board in boards.items() if "inControlsMenu" in json.dumps(board)] == []


def test_every_row_has_panels(boards: Boards) -> None:
    """A heading is followed by something."""
    for board in boards.values():
        kinds = [panel["type"] for panel in panels(board)]
        assert kinds[-1] != "row"
        assert ("row", "row") not in set(pairwise(kinds))
