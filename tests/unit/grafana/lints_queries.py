"""What holds for every query; each lint gives one sentence per fault."""

import re
from collections.abc import Callable, Iterator

from grafana.queries import Query, panels, queries, substitute, used_variables
from tests.unit.grafana import lints_panels, promql
from tests.unit.grafana.labels import keeps_name, labels
from tests.unit.grafana.lints_panels import Board, shown
from tests.unit.grafana.metrics import inventory, recordings

Lint = Callable[[Board], Iterator[str]]

VALUES = {"job": "vllm|sglang", "model": ".*", "instance": "10.0.0.1:8000", "pool": ".*"}
MACROS = {"__rate_interval", "__interval", "__interval_ms", "__range", "__range_s", "__range_ms"}
_RANGE = re.compile(r"\[([^\]]+)\]")
_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def _plain(query: Query) -> str:
    return substitute(query.expr, VALUES)


def names_its_metrics(board: Board) -> Iterator[str]:
    """The description names a metric of every question; of a table, which has many, one in all."""
    texts = {panel["id"]: panel.get("description", "") for panel in panels(board)}
    for query in queries(board):
        if query.kind == "panel" and query.panel_type != "table":
            names = {_HISTOGRAM.sub("", name) for name in promql.metrics(_plain(query))}
            if not any(name in texts[query.panel_id] for name in names):
                yield f"{query.panel_title} {query.ref_id}: names none of {sorted(names)}"


def is_parsed(board: Board) -> Iterator[str]:
    """Prometheus understands every query, once macros and variables have values."""
    for query in queries(board):
        try:
            promql.metrics(_plain(query))
        except (ValueError, KeyError) as exc:
            yield f"{query.panel_title} {query.ref_id}: {exc}"


def reads_what_exists(board: Board) -> Iterator[str]:
    """Every metric is in the inventory or a recording."""
    for query in queries(board):
        unknown = promql.metrics(_plain(query)) - {*inventory(), *recordings()}
        if unknown:
            yield f"{query.panel_title} {query.ref_id}: nobody publishes {sorted(unknown)}"


def rates_counters(board: Board) -> Iterator[str]:
    """Counters are read by their rates, over Grafana's window; recordings are no counters."""
    for query in queries(board):
        plain = _plain(query)
        where = f"{query.panel_title} {query.ref_id}"
        if bare := promql.bare_counters(plain):
            yield f"{where}: the value of {sorted(bare)} means nothing without rate()"
        if rated := promql.rated_recordings(plain):
            yield f"{where}: {sorted(rated)} is no counter"
        for window in _RANGE.findall(query.expr):
            if window != "$__rate_interval":
                yield f"{where}: [{window}] is not [$__rate_interval]"


def cannot_be_nan(board: Board) -> Iterator[str]:
    """Denominators are above 0, and quantiles of nothing are left out."""
    for query in queries(board):
        for fault in promql.unguarded(_plain(query)):
            yield f"{query.panel_title} {query.ref_id}: {fault}"


def keeps_legends(board: Board) -> Iterator[str]:
    """Every label that a legend, a link or a column uses is in the answer."""
    for query in queries(board):
        found = labels(promql.parse(_plain(query)))
        lost = set(re.findall(r"\{\{(\w+)\}\}", query.legend)) - (found or set())
        if found is not None and lost:
            yield f"{query.panel_title} {query.ref_id}: the answer has no {sorted(lost)}"
    for panel in shown(board):
        answers = [
            labels(promql.parse(_plain(query)))
            for query in queries(board)
            if query.panel_id == panel["id"] and query.kind == "panel"
        ]
        text = str(panel["fieldConfig"])
        for label in re.findall(r"__field\.labels\.(\w+)", text):
            if not all(found is None or label in found for found in answers):
                yield f"{panel['title']}: a link needs {label}, which an answer lacks"
        for label in re.findall(r"__data\.fields\.(\w+)", text):
            if not any(found is None or label in found for found in answers):
                yield f"{panel['title']}: a link needs the column {label}"


def merges_rows(board: Board) -> Iterator[str]:
    """Columns of a table have labels in common, and none the name of its metric."""
    for panel in shown(board):
        asked = [
            promql.parse(_plain(query))
            for query in queries(board)
            if query.panel_id == panel["id"] and query.panel_type == "table"
        ]
        if len(asked) < 2:
            continue
        for number, expr in enumerate(asked):
            if keeps_name(expr):
                yield f"{panel['title']}: column {number} has the name of a metric, and is no part"
        answers = [found for found in map(labels, asked) if found is not None]
        if not frozenset.intersection(*answers):
            yield f"{panel['title']}: the columns have no label in common"


def chooses_safely(board: Board) -> Iterator[str]:
    """One data source; choices are of several or all, and are matched as regular expressions."""
    variables = board["templating"]["list"]
    names = [variable["name"] for variable in variables]
    if [each["name"] for each in variables if each["type"] == "datasource"] != ["datasource"]:
        yield "want exactly one data source variable, named datasource"
    for variable in variables:
        if variable["type"] == "query" and not (variable["multi"] and variable["includeAll"]):
            yield f"${variable['name']} does not allow several and all"
    for query in queries(board):
        used = used_variables(query.expr) - MACROS
        if used - set(names):
            yield f"{query.panel_title}: ${sorted(used - set(names))} is no variable"
        for name, operator in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"[^"]*\$\{?[a-z]', query.expr):
            if operator not in {"=~", "!~"}:
                yield f"{query.panel_title}: {name}{operator} takes one value, there may be several"
    asked = "".join(query.expr for query in queries(board))
    for name in set(names) - {"datasource"} - used_variables(asked):
        yield f"${name} is used by no query"


LINTS: tuple[Lint, ...] = (
    lints_panels.says_what_it_is,
    names_its_metrics,
    is_parsed,
    reads_what_exists,
    rates_counters,
    cannot_be_nan,
    keeps_legends,
    merges_rows,
    chooses_safely,
    lints_panels.asks_one_source,
    lints_panels.is_numbered,
    lints_panels.fits_the_grid,
    lints_panels.marks_moments,
)
