"""Which labels the answer to a PromQL expression has."""

from typing import Any

import promql_parser as parser

from tests.unit.grafana.metrics import inventory, recordings
from tests.unit.grafana.promql import parse

Labels = frozenset[str] | None
_COMPARISONS = {">", ">=", "<", "<=", "==", "!="}
_SETS = {"and", "unless"}
_PICKS = {"topk", "bottomk"}


def keeps_name(expr: Any) -> bool:  # noqa: ANN401  # the parser's nodes share no useful type
    """Whether the answer still has the name of a metric, which arithmetic and sums drop."""
    match expr:
        case parser.VectorSelector():
            return True
        case parser.ParenExpr():
            return keeps_name(expr.expr)
        case parser.AggregateExpr():
            return str(expr.op) in _PICKS and keeps_name(expr.expr)
        case parser.BinaryExpr() if str(expr.op) == "or":
            return keeps_name(expr.lhs) or keeps_name(expr.rhs)
        case parser.BinaryExpr() if str(expr.op) in _COMPARISONS | _SETS:
            return keeps_name(expr.lhs)
        case _:
            return False


def labels(expr: Any) -> Labels:  # noqa: ANN401  # the same
    """Labels that every series of the answer has; None when any are possible."""
    match expr:
        case parser.VectorSelector():
            found = _of_series(expr.name or "")
        case parser.MatrixSelector():
            found = labels(expr.vector_selector)
        case parser.ParenExpr() | parser.UnaryExpr() | parser.SubqueryExpr():
            found = labels(expr.expr)
        case parser.AggregateExpr():
            found = _of_aggregate(expr, labels(expr.expr))
        case parser.Call():
            found = _of_call(expr)
        case parser.BinaryExpr():
            found = _of_binary(expr, labels(expr.lhs), labels(expr.rhs))
        case _:
            found = frozenset()
    return found


def _of_series(name: str) -> Labels:
    if name in inventory():
        return inventory()[name].labels
    if name in recordings():
        return labels(parse(recordings()[name]))
    return None


def _of_aggregate(expr: Any, inner: Labels) -> Labels:  # noqa: ANN401  # the same
    if str(expr.op) in _PICKS:
        return inner
    if expr.modifier is None:
        return frozenset()
    named = frozenset(expr.modifier.labels)
    if expr.modifier.type == parser.AggModifierType.By:
        return named if inner is None else named & inner
    return None if inner is None else inner - named


def _of_call(expr: Any) -> Labels:  # noqa: ANN401  # the same
    vectors = [arg for arg in expr.args if not isinstance(arg, parser.NumberLiteral)]
    if expr.func.name in {"time", "vector", "scalar", "absent"} or not vectors:
        return frozenset()
    inner = labels(vectors[0])
    if inner is not None and expr.func.name == "histogram_quantile":
        return inner - {"le"}
    if inner is not None and expr.func.name == "label_replace":
        return inner | {expr.args[1].val}
    return inner


def _of_binary(expr: Any, left: Labels, right: Labels) -> Labels:  # noqa: ANN401  # the same
    op, modifier = str(expr.op), expr.modifier
    if op in _SETS or _is_number(expr.rhs):
        return left
    if _is_number(expr.lhs):
        return right
    if op == "or" or modifier is None or modifier.matching is None:
        return _both(left, right)
    many = (
        (parser.VectorMatchCardinality.ManyToOne, left),
        (parser.VectorMatchCardinality.OneToMany, right),
    )
    for cardinality, side in many:
        if modifier.card == cardinality:
            return None if side is None else side | frozenset(modifier.group_labels or ())
    return left if op in _COMPARISONS else _matched(modifier.matching, left)


def _is_number(node: Any) -> bool:  # noqa: ANN401  # the same
    timeless = isinstance(node, parser.Call) and node.func.name in {"time", "scalar"}
    return timeless or isinstance(node, parser.NumberLiteral)


def _matched(matching: Any, left: Labels) -> Labels:  # noqa: ANN401  # the same
    """What is left of the labels where one series meets one."""
    named = frozenset(matching.labels)
    if matching.type == parser.LabelModifierType.Include:
        return named
    return None if left is None else left - named


def _both(left: Labels, right: Labels) -> Labels:
    if left is None:
        return right
    return left if right is None else left & right
