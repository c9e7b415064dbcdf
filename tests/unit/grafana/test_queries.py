"""Queries are read from a dashboard as Grafana would ask them."""

import pytest

from grafana.queries import queries, seconds, substitute, used_variables


def test_macros_and_variables_get_their_values() -> None:
    """In every way of writing them; what `label_replace` refers to is none of them."""
    expr = 'x{a=~"$job",b=~"${pool:regex}"}[$__rate_interval] "$1" $__range_s $__interval_ms'
    replaced = substitute(expr, {"job": "v", "pool": "p"}, "2m", "30s", "1h30m")
    assert replaced == 'x{a=~"v",b=~"p"}[2m] "$1" 5400 30000'


def test_a_variable_without_a_value_is_an_error() -> None:
    """A query that is asked with a dollar sign in it would only be empty."""
    with pytest.raises(KeyError, match="job"):
        substitute('up{job=~"$job"}', {})


def test_names_of_variables_are_found() -> None:
    """With and without braces, once each."""
    assert used_variables('$a ${b} ${c:queryparam} $a "$1"') == {"a", "b", "c"}


@pytest.mark.parametrize(("duration", "want_s"), [("15s", 15), ("1h30m", 5400), ("250ms", 0.25)])
def test_durations_are_read(duration: str, want_s: float) -> None:
    """As Prometheus writes them."""
    assert seconds(duration) == want_s


@pytest.mark.parametrize("wrong", ["", "15", "5 m", "m5"])
def test_what_is_no_duration_is_refused(wrong: str) -> None:
    """Rather than taken for something else."""
    with pytest.raises(ValueError, match="want for instance"):
        seconds(wrong)


def test_panels_variables_and_annotations_are_listed() -> None:
    """With the unit of the question itself, also within a folded row."""
    unit = {"id": "unit", "value": "s"}
    board = {
        "uid": "u",
        "panels": [
            {
                "id": 1,
                "type": "row",
                "panels": [
                    {
                        "id": 2,
                        "type": "table",
                        "title": "t",
                        "targets": [
                            {"refId": "A", "expr": "a", "instant": True},
                            {"refId": "B", "expr": "b", "legendFormat": "{{l}}"},
                        ],
                        "fieldConfig": {
                            "defaults": {"unit": "none"},
                            "overrides": [
                                {
                                    "matcher": {"id": "byName", "options": "Value #B"},
                                    "properties": [unit],
                                }
                            ],
                        },
                    }
                ],
            }
        ],
        "templating": {
            "list": [
                {"type": "datasource", "name": "d", "query": "prometheus"},
                {"type": "query", "name": "v", "query": {"query": 'label_values(m{x="1, 2"}, l)'}},
            ]
        },
        "annotations": {
            "list": [{"name": "n", "expr": "e", "titleFormat": "n", "textFormat": "{{p}}"}]
        },
    }
    found = queries(board)
    assert [(q.kind, q.expr, q.legend, q.unit, q.instant) for q in found] == [
        ("panel", "a", "", "none", True),
        ("panel", "b", "{{l}}", "s", False),
        ("variable", 'group by (l) (m{x="1, 2"})', "{{l}}", "", True),
        ("annotation", "e", "n {{p}}", "", False),
    ]
    assert {q.panel_id for q in found} == {0, 2}


def test_the_only_column_of_a_table_is_called_value() -> None:
    """Grafana leaves out the reference where there is one question."""
    matcher = {"id": "byName", "options": "Value"}
    panel = {
        "id": 1,
        "type": "table",
        "targets": [{"refId": "A", "expr": "a"}],
        "fieldConfig": {
            "overrides": [{"matcher": matcher, "properties": [{"id": "unit", "value": "s"}]}]
        },
    }
    assert [query.unit for query in queries({"uid": "u", "panels": [panel]})] == ["s"]
