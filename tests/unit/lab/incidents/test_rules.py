"""Rules over recorded time."""

from pathlib import Path

import pytest

from lab.incidents.asking import Series
from lab.incidents.history import History
from lab.incidents.rules import Alert, Firing, alerts, firings, layers


def rule(name: str, expr: str) -> dict[str, str]:
    """A recording rule."""
    return {"record": name, "expr": expr}


def test_a_layer_needs_only_those_before_it() -> None:
    """A rule comes after all rules whose names stand in its expression."""
    third = rule("c:x:sum", "sum(b:x:sum) + a:x:sum")
    second, first = rule("b:x:sum", "sum(a:x:sum)"), rule("a:x:sum", "sum(up)")
    assert list(layers([third, second, first])) == [[first], [second], [third]]


def test_rules_that_need_each_other_are_refused() -> None:
    """A circle of recordings is an error, not an endless loop."""
    with pytest.raises(ValueError, match="a:x:sum"):
        list(layers([rule("a:x:sum", "b:x:sum"), rule("b:x:sum", "a:x:sum")]))


def test_durations_of_for_are_read(tmp_path: Path) -> None:
    """Minutes and hours are seconds, and no `for` is none."""
    file = tmp_path / "rules.yml"
    file.write_text(
        "groups: [{name: g, rules: [{alert: A, expr: up, for: 1h30m}, {alert: B, expr: up}]}]"
    )
    assert [one.for_s for one in alerts([file])] == [5400, 0]


def raised(monkeypatch: pytest.MonkeyPatch, *series: Series) -> tuple[list[Firing], str]:
    """What fires, and the history, when an alert's expression has this answer."""
    # The answer of Prometheus is the input here; that it is asked is what integration tests see.
    monkeypatch.setattr("lab.incidents.rules.over", lambda *_: list(series))
    history = History()
    alert = Alert("Late", "late > 2", 30, {"severity": "warning"})
    found = firings("", [alert], history, start_s=0, end_s=600, step_s=15)
    return found, "".join(history.lines())


def test_an_alert_fires_when_its_expression_held_for_long_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is pending until `for` has passed, then fires until the expression ends."""
    series = Series({"job": "a"}, ((15, 3), (30, 3), (45, 3), (60, 3)))
    found, history = raised(monkeypatch, series)
    assert found == [Firing("Late", {"job": "a", "severity": "warning"}, 45, 60)]
    of = 'job="a",severity="warning"'
    for at_s, state in ((15, "pending"), (30, "pending"), (45, "firing"), (60, "firing")):
        assert f'ALERTS{{alertname="Late",alertstate="{state}",{of}}} 1.0 {at_s}\n' in history
    assert f'ALERTS_FOR_STATE{{alertname="Late",{of}}} 15.0 60\n' in history


def test_a_gap_begins_the_wait_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """An expression that fails once never fires an alert with an older beginning."""
    series = Series({}, ((15, 3), (30, 3), (60, 3), (75, 3)))
    assert not raised(monkeypatch, series)[0]


def test_an_alert_goes_on_under_another_name_of_its_expression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The metric's name is no label of an alert, so a part that takes over continues it."""
    first = Series({"__name__": "x:rate1h", "job": "a"}, ((15, 3), (30, 3)))
    second = Series({"__name__": "x:rate6h", "job": "a"}, ((45, 3),))
    assert [one.first_s for one in raised(monkeypatch, first, second)[0]] == [45]
