"""The parts of a PromQL expression."""

import re
from collections.abc import Iterator

import promql_parser as promql


def parts(expr: promql.Expr) -> list[promql.Expr]:
    """The expressions that an expression is directly made of."""
    match expr:
        case promql.MatrixSelector():
            return [expr.vector_selector]
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return [expr.expr]
        case promql.AggregateExpr():
            return [expr.expr]
        case promql.BinaryExpr():
            return [expr.lhs, expr.rhs]
        case promql.Call():
            return list(expr.args)
    return []


def walk(expr: promql.Expr) -> Iterator[promql.Expr]:
    """An expression and all within it."""
    yield expr
    for part in parts(expr):
        yield from walk(part)


def selectors(expr: promql.Expr) -> list[promql.VectorSelector]:
    """The selectors within an expression."""
    return [part for part in walk(expr) if isinstance(part, promql.VectorSelector)]


def bare(expr: promql.Expr) -> promql.Expr:
    """An expression without the brackets around it."""
    while isinstance(expr, promql.ParenExpr):
        expr = expr.expr
    return expr


def is_scalar(expr: promql.Expr) -> bool:
    """Whether a result is a number rather than series."""
    match bare(expr):
        case promql.NumberLiteral() | promql.StringLiteral():
            return True
        case promql.Call() as call:
            return bool(call.func.return_type == promql.ValueType.Scalar)
        case promql.BinaryExpr() as binary:
            return is_scalar(binary.lhs) and is_scalar(binary.rhs)
        case promql.UnaryExpr() as unary:
            return is_scalar(unary.expr)
    return False


def matches(matcher: promql.Matcher, value: str) -> bool:
    """Whether a label's value passes a matcher."""
    match matcher.op:
        case promql.MatchOp.Equal:
            return value == matcher.value
        case promql.MatchOp.NotEqual:
            return value != matcher.value
        case promql.MatchOp.Re:
            return re.fullmatch(matcher.value, value) is not None
    return re.fullmatch(matcher.value, value) is None
