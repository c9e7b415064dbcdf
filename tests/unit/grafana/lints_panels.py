"""What holds for every panel; each lint gives one sentence per fault."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from grafana.queries import panels

Board = Mapping[str, Any]

_GRID_WIDTH = 24
_UNITS = {"none", "s", "percentunit", "reqps", "cps", "si:tok/s", "si:tok", "dateTimeFromNow"}


def shown(board: Board) -> list[Board]:
    """Panels but for headings."""
    return [panel for panel in panels(board) if panel["type"] != "row"]


def says_what_it_is(board: Board) -> Iterator[str]:
    """Every panel has a title, a text, a unit, and words for no data."""
    for panel in shown(board):
        defaults = panel["fieldConfig"]["defaults"]
        title = panel.get("title", "")
        if not title:
            yield f"panel {panel['id']} has no title"
        if "Normal:" not in panel.get("description", ""):
            yield f"{title}: the description does not say what is normal"
        if defaults.get("unit") not in _UNITS:
            yield f"{title}: unit {defaults.get('unit')!r} is none of {sorted(_UNITS)}"
        if not defaults.get("noValue"):
            yield f"{title}: nothing is said when there is no data"


def asks_one_source(board: Board) -> Iterator[str]:
    """Whatever asks, asks the data source that was chosen."""
    askers = [*shown(board), *board["annotations"]["list"]]
    askers += [target for panel in shown(board) for target in panel["targets"]]
    askers += [each for each in board["templating"]["list"] if each["type"] == "query"]
    for asker in askers:
        if asker.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
            name = asker.get("title") or asker.get("name") or asker.get("expr")
            yield f"{name}: asks {asker.get('datasource')}"


def is_numbered(board: Board) -> Iterator[str]:
    """Numbers of panels, and references within a panel, are unique."""
    numbers = Counter(panel["id"] for panel in panels(board))
    yield from (f"panel number {number} is given twice" for number, n in numbers.items() if n > 1)
    for panel in shown(board):
        references = [target["refId"] for target in panel["targets"]]
        if len(set(references)) < len(references):
            yield f"{panel['title']}: a reference is given twice"


def fits_the_grid(board: Board) -> Iterator[str]:
    """No panel lies on another or beyond the edge."""
    for panel in panels(board):
        place = panel["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > _GRID_WIDTH or place["h"] < 1:
            yield f"{panel['title']} is beyond the edge: {place}"
    for one, other in combinations(panels(board), 2):
        if _overlap(one["gridPos"], other["gridPos"]):
            yield f"{one['title']} lies on {other['title']}"


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or above)


def marks_moments(board: Board) -> Iterator[str]:
    """An annotation that stands at the time of its value gives milliseconds."""
    for mark in board["annotations"]["list"]:
        if mark.get("useValueForTime") and not mark["expr"].rstrip().endswith("* 1000"):
            yield f"{mark['name']}: the time is in seconds, Grafana takes milliseconds"


def leads_somewhere(boards: Mapping[str, Board]) -> Iterator[str]:
    """Every link to a dashboard leads to one that exists and has the variable it sets."""
    by_uid = {board["uid"]: board for board in boards.values()}
    if len(by_uid) < len(boards):
        yield "two dashboards have one uid"
    for name, board in boards.items():
        links = re.findall(r"/d/([\w-]+)([^'\"]*)", str([board["links"], board["panels"]]))
        for uid, rest in links:
            if uid not in by_uid:
                yield f"{name}: no dashboard {uid}"
                continue
            known = {variable["name"] for variable in by_uid[uid]["templating"]["list"]}
            for variable in set(re.findall(r"var-(\w+)=", rest)) - known:
                yield f"{name}: {uid} has no variable {variable}"
