"""What a PromQL expression reads, and whether its answer can be trusted."""

from collections.abc import Iterator
from typing import Any

import promql_parser as parser

from tests.unit.grafana.metrics import inventory, recordings

_RATES = {"rate", "increase", "irate", "resets", "changes"}


def parse(text: str) -> Any:  # noqa: ANN401  # the parser's nodes share no useful type
    """The tree of an expression."""
    return parser.parse(text)


def nodes(expr: Any) -> Iterator[Any]:  # noqa: ANN401  # the parser's nodes share no useful type
    """An expression and all that it is made of, with the selector within a range."""
    yield expr
    for child in _children(expr):
        yield from nodes(child)


def _children(expr: Any) -> list[Any]:  # noqa: ANN401  # the same
    match expr:
        case parser.Call():
            return list(expr.args)
        case parser.BinaryExpr():
            return [expr.lhs, expr.rhs]
        case parser.AggregateExpr():
            return [expr.expr, *([expr.param] if expr.param is not None else [])]
        case parser.ParenExpr() | parser.UnaryExpr() | parser.SubqueryExpr():
            return [expr.expr]
        case parser.MatrixSelector():
            return [expr.vector_selector]
    return []


def metrics(text: str) -> set[str]:
    """Names of the series that it reads."""
    found = [node for node in nodes(parser.parse(text)) if isinstance(node, parser.VectorSelector)]
    return {node.name or "" for node in found}


def bare_counters(text: str) -> set[str]:
    """Counters of which the value itself is read, which says only how old a process is."""
    expr = parser.parse(text)
    rated = {
        part.name
        for node in nodes(expr)
        if isinstance(node, parser.Call) and node.func.name in _RATES
        for part in nodes(node)
        if isinstance(part, parser.VectorSelector)
    }
    counters = {name for name in metrics(text) if name in inventory() and inventory()[name].counter}
    return counters - rated


def rated_recordings(text: str) -> set[str]:
    """Recordings that are taken a rate of though they are rates or gauges."""
    return {
        str(part.name)
        for node in nodes(parser.parse(text))
        if isinstance(node, parser.Call) and node.func.name in {"rate", "increase", "irate"}
        for part in nodes(node)
        if isinstance(part, parser.VectorSelector) and ":" in (part.name or "")
        if part.name in recordings()
    }


def unguarded(text: str) -> list[str]:
    """Denominators that can be 0, and quantiles that can be NaN."""
    expr = parser.parse(text)
    faults = [
        f"denominator {node.rhs} can be 0"
        for node in nodes(expr)
        if isinstance(node, parser.BinaryExpr) and str(node.op) == "/"
        if not isinstance(node.rhs, parser.NumberLiteral) and not _compared(node.rhs, ">")
    ]
    guarded = [
        node.lhs
        for node in nodes(expr)
        if isinstance(node, parser.BinaryExpr) and str(node.op) == ">="
    ]
    quantiles = [node for node in nodes(expr) if _is_quantile(node)]
    loose = len(quantiles) - sum(_is_quantile(node) for node in guarded)
    return faults + ["histogram_quantile() can be NaN"] * loose


def _is_quantile(node: Any) -> bool:  # noqa: ANN401  # the same
    return isinstance(node, parser.Call) and node.func.name == "histogram_quantile"


def _compared(node: Any, op: str) -> bool:  # noqa: ANN401  # the same
    while isinstance(node, parser.ParenExpr):
        node = node.expr
    return isinstance(node, parser.BinaryExpr) and str(node.op) == op
