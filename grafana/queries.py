"""Every query of a dashboard's JSON, as Prometheus would be asked it.

Grafana replaces its macros and variables before it asks. Here the same is done with given values,
so that a dashboard can be checked against a Prometheus where no Grafana runs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["panel", "variable", "annotation"]

# $name, ${name} or ${name:format}; $1 of label_replace() is none of Grafana's.
_VARIABLE = re.compile(r"\$(?:(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>\w+)(?::\w+)?\})")
_LABEL_VALUES = re.compile(r"^label_values\((?P<selector>.+),\s*(?P<label>\w+)\)$", re.DOTALL)
_QUERY_RESULT = re.compile(r"^query_result\((?P<expr>.+)\)$", re.DOTALL)
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+)(ms|[smhdw])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question to Prometheus, and what the dashboard promises of the answer.

    Attributes:
        dashboard_uid: The dashboard.
        panel_id: The panel; 0 for variables and annotations.
        panel_title: Its title, or the name of the variable or the annotation.
        panel_type: `timeseries`, `table` and so on; "" for variables and annotations.
        ref_id: The target within the panel.
        expr: PromQL with Grafana's macros and variables in it. For a variable it is the PromQL that
            answers the same question: `label_values(x, y)` becomes `group by (y) (x)`.
        legend: Grafana's legend, such as `{{instance}}`; "" where there is none.
        unit: Grafana's id of the unit, after the panel's overrides for this target; "" if unknown.
        instant: Asked for one moment rather than for a range.
        kind: Where it stands.
    """

    dashboard_uid: str
    panel_id: int
    panel_title: str
    panel_type: str
    ref_id: str
    expr: str
    legend: str
    unit: str
    instant: bool
    kind: Kind


def panels(dashboard: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All panels, rows among them, and those folded away in a row."""
    found: list[Mapping[str, Any]] = []
    for panel in dashboard.get("panels", ()):
        found += [panel, *panel.get("panels", ())]
    return found


def queries(dashboard: Mapping[str, Any]) -> list[Query]:
    """The queries of all panels, variables and annotations of a dashboard."""
    return [*_panels(dashboard), *_variables(dashboard), *_annotations(dashboard)]


def substitute(
    expr: str,
    variables: Mapping[str, str],
    rate_interval: str = "1m",
    interval: str = "15s",
    range_: str = "2h",
) -> str:
    """Put values in the place of Grafana's macros and variables.

    Args:
        expr: PromQL as the dashboard has it.
        variables: Values by name, as they are to stand in the query: for "All" of a variable that
            is used by `=~`, a regular expression such as `.*`.
        rate_interval: Value of `$__rate_interval`.
        interval: Value of `$__interval`.
        range_: Value of `$__range`.

    Raises:
        KeyError: The expression uses a variable that was not given.
    """
    values = {
        **variables,
        "__rate_interval": rate_interval,
        "__interval": interval,
        "__interval_ms": str(round(seconds(interval) * 1000)),
        "__range": range_,
        "__range_s": str(round(seconds(range_))),
        "__range_ms": str(round(seconds(range_) * 1000)),
    }
    return _VARIABLE.sub(lambda found: values[found["bare"] or found["braced"]], expr)


def used_variables(expr: str) -> set[str]:
    """Names of the variables and macros that an expression, a link or a title uses."""
    return {found["bare"] or found["braced"] for found in _VARIABLE.finditer(expr)}


def seconds(duration: str) -> float:
    """Seconds of a duration such as `90s`, `5m` or `1h30m`."""
    parts = _DURATION.findall(duration)
    if "".join(count + unit for count, unit in parts) != duration or not parts:
        raise ValueError(f"{duration!r} is no duration: want for instance 90s, 5m or 1h30m")
    return sum(int(count) * _UNITS_S[unit] for count, unit in parts)


def _panels(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            if "expr" in target:
                yield Query(
                    dashboard_uid=dashboard["uid"],
                    panel_id=panel["id"],
                    panel_title=panel.get("title", ""),
                    panel_type=panel["type"],
                    ref_id=target["refId"],
                    expr=target["expr"],
                    legend=target.get("legendFormat", ""),
                    unit=_unit(panel, target["refId"]),
                    instant=target.get("instant", False),
                    kind="panel",
                )


def _unit(panel: Mapping[str, Any], ref_id: str) -> str:
    """The unit of a target: an override by its reference or, in tables, by its value column."""
    config = panel.get("fieldConfig", {})
    named = {("byFrameRefID", ref_id), ("byName", f"Value #{ref_id}"), ("byName", "Value")}
    for override in config.get("overrides", ()):
        matcher = override["matcher"]
        for entry in override["properties"]:
            if (matcher["id"], matcher.get("options")) in named and entry["id"] == "unit":
                return str(entry["value"])
    return str(config.get("defaults", {}).get("unit", ""))


def _variables(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    for variable in dashboard.get("templating", {}).get("list", ()):
        if variable["type"] != "query":
            continue
        asked = variable["query"]
        text = asked["query"] if isinstance(asked, Mapping) else asked
        expr, legend = _as_promql(text)
        yield _aside(dashboard, variable["name"], expr, legend, "variable", instant=True)


def _as_promql(text: str) -> tuple[str, str]:
    """PromQL, and a legend, that answers what a variable asks."""
    if found := _LABEL_VALUES.match(text):
        return f"group by ({found['label']}) ({found['selector']})", f"{{{{{found['label']}}}}}"
    if found := _QUERY_RESULT.match(text):
        return found["expr"], ""
    raise ValueError(f"{text!r}: want label_values(selector, label) or query_result(expression)")


def _annotations(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    for annotation in dashboard.get("annotations", {}).get("list", ()):
        if "expr" in annotation:
            legend = " ".join((annotation["titleFormat"], annotation["textFormat"]))
            yield _aside(dashboard, annotation["name"], annotation["expr"], legend, "annotation")


def _aside(
    dashboard: Mapping[str, Any],
    name: str,
    expr: str,
    legend: str,
    kind: Kind,
    *,
    instant: bool = False,
) -> Query:
    """A query that belongs to the dashboard rather than to a panel of it."""
    return Query(
        dashboard_uid=dashboard["uid"],
        panel_id=0,
        panel_title=name,
        panel_type="",
        ref_id="",
        expr=expr,
        legend=legend,
        unit="",
        instant=instant,
        kind=kind,
    )
