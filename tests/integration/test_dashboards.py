"""The dashboards against two hours of metrics with incidents, in a real Prometheus."""

import math
from collections.abc import Mapping, Sequence

import pytest

from lab.incidents.answers import Answer, answers, boards
from lab.incidents.asking import Series
from lab.incidents.loading import Replay
from lab.incidents.sheet.settings import placeholders
from lab.incidents.timetable import INCIDENTS
from tests.integration.incident_signs import SIGNS, TOLD, Sign

pytestmark = pytest.mark.integration

# Queries that ask for what this world has none of.
QUIET = {("lb-controller", "Backends by reason", "B"): "no instance belongs to no backend"}
# What a unit allows at most here: 100 times the fleet's own figures would be a slip of a factor.
BOUNDS = {
    "percentunit": (0, 1 + 1e-9),
    "s": (0, 7200),
    "reqps": (0, 100),
    "cps": (0, 5000),
    "si:tok/s": (0, 10_000),
    "si:tok": (0, 10_000),
    "none": (0, 5000),
}
# Shares of something that may be more than all of it, or less than nothing.
BEYOND = {"Observed share minus wanted share": (-1, 1), "Utilisation of each pool": (0, 10)}
BEFORE_S = 180


@pytest.fixture(scope="module")
def told(world: Replay) -> Sequence[Answer]:
    """The answers to all queries of all dashboards, with everything chosen."""
    return [answer for board in boards().values() for answer in answers(world, board)]


def key(answer: Answer) -> tuple[str, str, str]:
    """What names a query."""
    asked = answer.query
    return asked.dashboard_uid, asked.panel_title, asked.ref_id


def test_every_query_of_every_dashboard_returns_data(told: Sequence[Answer]) -> None:
    """Every panel, variable and annotation has an answer at some time of the two hours."""
    assert {one.query.kind for one in told} == {"panel", "variable", "annotation"}
    empty = {one.place for one in told if not one.series and key(one) not in QUIET}
    assert not empty


def test_a_query_is_excused_only_while_it_is_quiet(told: Sequence[Answer]) -> None:
    """Queries that are excused from returning data exist, and return none."""
    assert {key(one) for one in told if not one.series} >= QUIET.keys()


def test_what_stands_at_the_top_is_never_without_data(told: Sequence[Answer]) -> None:
    """A single number has a value at every minute, from the second on, whatever happens."""
    stats = [one for one in told if one.query.panel_type == "stat"]
    assert stats
    for one in stats:
        moments = {at_s for series in one.series for at_s, _ in series.points}
        assert len(moments) >= 119, one.place


def test_no_answer_holds_nan_or_infinity(told: Sequence[Answer]) -> None:
    """Without traffic a ratio is absent, never NaN."""
    assert not [
        one.place
        for one in told
        if any(not math.isfinite(value) for series in one.series for value in series.values)
    ]


def test_all_values_lie_within_the_bounds_of_their_unit(told: Sequence[Answer]) -> None:
    """Shares lie between 0 and 1, and nothing is negative or absurdly large."""
    faults = []
    for one in told:
        if one.query.kind != "panel" or one.query.unit.startswith("dateTime"):
            continue
        low, high = BEYOND.get(one.query.panel_title, BOUNDS[one.query.unit])
        values = [value for series in one.series for value in series.values]
        if values and not low <= min(values) <= max(values) <= high:
            faults.append(f"{one.place}: {min(values)}..{max(values)} {one.query.unit}")
    assert not faults


def test_every_moment_that_a_panel_shows_lies_within_the_two_hours(
    world: Replay, told: Sequence[Answer]
) -> None:
    """Annotations by timestamp and columns of dates are milliseconds of real events."""
    dated = [
        one
        for one in told
        if one.query.unit.startswith("dateTime")
        or one.query.panel_title in {"Weights changed", "Reload confirmed"}
    ]
    assert dated
    for one in dated:
        for series in one.series:
            for at_s, value in series.points:
                assert world.start_s - 3600 <= value / 1000 <= at_s, one.place


def test_legends_name_only_labels_that_the_answer_has(told: Sequence[Answer]) -> None:
    """No legend, and no text of an annotation, has a hole in it."""
    faults = {
        f"{one.place}: {label}"
        for one in told
        for label in placeholders(one.query.legend)
        for series in one.series
        if not series.labels.get(label)
    }
    assert not faults


@pytest.mark.parametrize(
    "chosen",
    [
        {"job": "vllm", "model": "llama", "instance": "10.0.0.12:8000", "pool": "llm"},
        {"job": "sglang", "model": "qwen", "instance": "sglang-1:30000", "pool": "qwen"},
    ],
    ids=["vllm", "sglang"],
)
def test_one_backend_of_either_engine_fills_the_drill_down(
    world: Replay, chosen: Mapping[str, str]
) -> None:
    """With one server chosen, each panel about it has data, and of no other server."""
    of_panels = [
        one for one in answers(world, boards()["lb-backend"], chosen) if one.query.kind == "panel"
    ]
    assert of_panels
    empty = {one.query.panel_title for one in of_panels} - {
        one.query.panel_title for one in of_panels if one.series
    }
    assert not empty
    named = {series.labels.get("instance") for one in of_panels for series in one.series}
    assert named - {None} == {chosen["instance"]}


def matching(told: Sequence[Answer], sign: Sign) -> list[Series]:
    """The series that a sign speaks of."""
    wanted = sign.board, sign.title, sign.ref
    return [
        series
        for one in told
        if key(one) == wanted
        for series in one.series
        if sign.labels.items() <= series.labels.items()
    ]


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: f"{sign.incident}-{sign.title}-{sign.ref}")
def test_an_incident_is_seen_where_it_should_be(told: Sequence[Answer], sign: Sign) -> None:
    """A panel shows the incident while it lasts, and did not show it just before."""
    incident = INCIDENTS[sign.incident]
    start_s, end_s = incident.start_s(), incident.end_s()
    seen = [
        at_s
        for series in matching(told, sign)
        for at_s, value in series.points
        if sign.holds(value)
    ]
    if sign.title == "Weights changed":  # what is drawn is the value, not the time of the sample
        series = matching(told, sign)
        seen = [value / 1000 for one in series for value in one.values]
    assert any(start_s <= at_s <= end_s + 60 for at_s in seen)
    assert not [at_s for at_s in seen if start_s - BEFORE_S <= at_s < start_s]


def test_every_incident_has_signs_and_says_what_is_told_of_it() -> None:
    """The tables leave no incident out."""
    assert {sign.incident for sign in SIGNS} == set(INCIDENTS) == set(TOLD)
