"""Which expressions can never be 0, or never an empty histogram."""

import promql_parser as promql

from tests.unit.rules.known import Known
from tests.unit.rules.tree import bare, parts, walk

# Metrics that are never 0, since whoever publishes them says nothing rather than 0.
_POSITIVE_METRICS = (
    "vllm_nginx_lb_backend_capacity_tokens_per_second",
    "vllm_nginx_lb_backend_slots",
    "vllm_nginx_lb_tick_interval_seconds",
)
# What these make of values above 0 is above 0; so is a count or a group of anything.
_KEEPING_AGGREGATES = ("sum", "avg", "min", "max", "topk", "bottomk", "quantile")
_COUNTING_AGGREGATES = ("count", "group")
_KEEPING_CALLS = (
    *("label_replace", "label_join", "abs", "ceil", "scalar"),
    *("last_over_time", "avg_over_time", "max_over_time", "min_over_time"),
)
_POSITIVE_CALLS = ("time", "timestamp", "count_over_time", "present_over_time")


def is_guarded(expr: promql.Expr, known: Known) -> bool:
    """Whether no value of an expression is 0."""
    expr = bare(expr)
    match expr:
        case promql.NumberLiteral():
            return expr.val > 0
        case promql.VectorSelector():
            return _is_positive_series(expr.name or "", known)
        case promql.AggregateExpr():
            operator = str(expr.op)
            keeps = operator in _KEEPING_AGGREGATES and is_guarded(expr.expr, known)
            return keeps or operator in _COUNTING_AGGREGATES
        case promql.BinaryExpr():
            return _is_guarded_pair(expr, known)
        case promql.Call():
            return _is_guarded_call(expr, known)
    # A range, of a selector or of a subquery.
    return bool(parts(expr)) and all(is_guarded(part, known) for part in parts(expr))


def _is_positive_series(name: str, known: Known) -> bool:
    recorded = known.recordings.get(name, ())
    return name in _POSITIVE_METRICS or (
        bool(recorded) and all(is_guarded(promql.parse(rule.expr), known) for rule in recorded)
    )


def _is_guarded_pair(expr: promql.BinaryExpr, known: Known) -> bool:
    operator = str(expr.op)
    left, right = is_guarded(expr.lhs, known), is_guarded(expr.rhs, known)
    match operator:
        case "and" | "unless":
            return left
        case "or" | "*" | "/" | "^":
            return left and right
        case "+":
            return (left and _is_positive_or_0(expr.rhs)) or (right and _is_positive_or_0(expr.lhs))
        case "-":
            return _is_less_than(expr.rhs, expr.lhs)
        case "%":
            return False
    return _is_guarded_comparison(expr, operator, kept=left)


def _is_guarded_comparison(expr: promql.BinaryExpr, operator: str, *, kept: bool) -> bool:
    if expr.modifier is not None and expr.modifier.return_bool:
        return False
    bound = bare(expr.rhs)
    if not isinstance(bound, promql.NumberLiteral):
        return kept
    above = {">": bound.val >= 0, ">=": bound.val > 0, "!=": bound.val == 0, "==": bound.val != 0}
    return kept or above.get(operator, False)


def _is_positive_or_0(expr: promql.Expr) -> bool:
    """No metric here is negative, so that only a subtraction makes a value so."""
    return not any(
        (isinstance(part, promql.BinaryExpr) and str(part.op) == "-")
        or isinstance(part, promql.UnaryExpr)
        or (isinstance(part, promql.Call) and part.func.name in ("delta", "deriv", "idelta"))
        for part in walk(expr)
    )


def _is_less_than(expr: promql.Expr, limit: promql.Expr) -> bool:
    """Whether it is `clamp_max(..., c)` with c below the limit, a number."""
    expr, limit = bare(expr), bare(limit)
    if not (isinstance(expr, promql.Call) and expr.func.name == "clamp_max"):
        return False
    bound = bare(expr.args[1])
    if not (isinstance(bound, promql.NumberLiteral) and isinstance(limit, promql.NumberLiteral)):
        return False
    return bound.val < limit.val


def _is_guarded_call(expr: promql.Call, known: Known) -> bool:
    name = expr.func.name
    if name == "clamp_min":
        return is_guarded(expr.args[1], known)
    if name in _POSITIVE_CALLS:
        return True
    vectors = [argument for argument in expr.args if not isinstance(argument, promql.StringLiteral)]
    return name in _KEEPING_CALLS and all(is_guarded(argument, known) for argument in vectors)


def is_guarded_histogram(expr: promql.Expr) -> bool:
    """Whether only histograms with observations are left: `... and on (...) (... > 0)`."""
    expr = bare(expr)
    if not isinstance(expr, promql.BinaryExpr) or str(expr.op) != "and":
        return False
    condition = bare(expr.rhs)
    return isinstance(condition, promql.BinaryExpr) and str(condition.op) == ">"
