"""What is wrong with a PromQL expression; each check yields one sentence per fault.

They restate what the linter pint checks of rules, and add what this project's metrics ask for.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType

import promql_parser as promql

from scripts.inventory import ANY
from tests.unit.rules.guards import is_guarded, is_guarded_histogram
from tests.unit.rules.known import Known, UnknownSeriesError
from tests.unit.rules.tree import bare, is_scalar, matches, parts, selectors, walk

Check = Callable[[promql.Expr, Known], Iterator[str]]

# Four scrapes of 15 s: with fewer, one lost scrape leaves no rate.
_SHORTEST = timedelta(minutes=1)
_RATES = ("rate", "increase", "irate")
# They tell that a counter is there, or carry it to where its value is not read.
_VALUELESS_CALLS = ("absent", "absent_over_time", "present_over_time", "timestamp")
_CARRYING_CALLS = ("last_over_time", "label_replace", "label_join")
_CHANGES = (*_RATES, "resets", "changes", "count_over_time", *_VALUELESS_CALLS)


def series_exist(expr: promql.Expr, known: Known) -> Iterator[str]:
    """Every series is published by a known server, or recorded by a rule."""
    for selector in selectors(expr):
        if not selector.name:
            yield f"{selector} names no metric"
        elif selector.name not in known.series and selector.name not in known.recordings:
            yield f"{selector.name} is in no inventory, and no rule records it"


def labels_exist(expr: promql.Expr, known: Known) -> Iterator[str]:
    """Every label that is matched, joined on or aggregated by is one that the series may have."""
    for part in walk(expr):
        try:
            yield from _unknown_labels(part, known)
        except UnknownSeriesError:
            continue


def _unknown_labels(part: promql.Expr, known: Known) -> Iterator[str]:
    wanted: dict[str, set[str]] = {}
    match part:
        case promql.VectorSelector():
            wanted[str(part)] = {matcher.name for matcher in part.matchers.matchers}
            offered = {str(part): known.labels(part)}
        case promql.AggregateExpr() if part.modifier is not None:
            wanted["the aggregation"] = set(part.modifier.labels)
            offered = {"the aggregation": known.labels(part.expr)}
        case promql.BinaryExpr() if part.modifier is not None and part.modifier.matching:
            joined = set(part.modifier.matching.labels)
            wanted = {"the left side": joined, "the right side": joined}
            sides = (known.labels(part.lhs), known.labels(part.rhs))
            offered = dict(zip(wanted, sides, strict=True))
    for where, names in wanted.items():
        if ANY not in offered[where]:
            for name in sorted(names - offered[where] - {"__name__"}):
                yield f"{where} has no label {name}"


def counters_are_rated(expr: promql.Expr, known: Known) -> Iterator[str]:
    """The value of a counter means nothing: since when is not known."""
    yield from _read_counters(expr, known, read=True)


def _read_counters(expr: promql.Expr, known: Known, *, read: bool) -> Iterator[str]:
    match expr:
        case promql.VectorSelector() if read and expr.name in known.counters:
            yield f"{expr.name} is a counter: its value is read, not its rate"
        case promql.Call() if expr.func.name not in _CARRYING_CALLS:
            read = read and expr.func.name not in _CHANGES
        case promql.AggregateExpr():
            read = read and str(expr.op) not in ("count", "group")
        case promql.BinaryExpr() if str(expr.op) in ("and", "unless"):
            yield from _read_counters(expr.lhs, known, read=read)
            return
        case promql.BinaryExpr() if str(expr.op) == "*":
            read = read and not (_is_zero(expr.lhs) or _is_zero(expr.rhs))
    for part in parts(expr):
        yield from _read_counters(part, known, read=read)


def _is_zero(expr: promql.Expr) -> bool:
    expr = bare(expr)
    return isinstance(expr, promql.NumberLiteral) and expr.val == 0


def gauges_are_not_rated(expr: promql.Expr, known: Known) -> Iterator[str]:
    """rate() takes each fall for a restart, so that of a gauge or of a sum it makes nonsense."""
    for call in walk(expr):
        if isinstance(call, promql.Call) and call.func.name in _RATES:
            argument = bare(call.args[0])
            if not isinstance(argument, promql.MatrixSelector):
                yield f"{call.func.name}() of {argument}: want a counter as it is scraped"
            elif argument.vector_selector.name not in known.counters:
                yield f"{call.func.name}() of {argument.vector_selector.name}, which is no counter"


def ranges_are_long_enough(expr: promql.Expr, _: Known) -> Iterator[str]:
    """A range holds at least four scrapes."""
    for part in walk(expr):
        if isinstance(part, promql.MatrixSelector) and part.range < _SHORTEST:
            yield f"the range of {part} is less than {_SHORTEST.total_seconds():g} s"


def denominators_are_guarded(expr: promql.Expr, known: Known) -> Iterator[str]:
    """What is divided by cannot be 0, so that there is no NaN and no infinity."""
    for part in walk(expr):
        if isinstance(part, promql.BinaryExpr) and str(part.op) in ("/", "%"):
            constant = is_scalar(part.rhs) and not _is_zero(part.rhs)
            if not constant and not is_guarded(part.rhs, known):
                yield f"the denominator {part.rhs} may be 0"


def quantiles_are_guarded(expr: promql.Expr, known: Known) -> Iterator[str]:
    """Of a histogram without observations a quantile is NaN."""
    for part in walk(expr):
        if isinstance(part, promql.Call) and part.func.name == "histogram_quantile":
            if not is_guarded_histogram(part.args[1]):
                yield "histogram_quantile() of a histogram that may be empty"
            elif "le" not in known.labels(part.args[1]):
                yield "histogram_quantile() of something without the label le"


def bounds_exist(expr: promql.Expr, known: Known) -> Iterator[str]:
    """A bound is a bucket of that histogram, whichever Prometheus wrote it down."""
    for selector in selectors(expr):
        for matcher in selector.matchers.matchers:
            if matcher.name == "le":
                bounds = known.bounds(selector.name or "")
                found = {bound for bound in bounds if matches(matcher, bound)}
                if not found:
                    yield f"{selector} matches none of the buckets {sorted(bounds)}"
                # Prometheus 3 stores the "1" of a server written in Go as "1.0".
                for bound in found:
                    if not matches(matcher, _normal(bound)):
                        yield f"{selector} misses {_normal(bound)}, as Prometheus 3 writes {bound}"


def _normal(bound: str) -> str:
    return bound if bound == "+Inf" or "e" in bound else str(float(bound))


def absences_name_a_series(expr: promql.Expr, _: Known) -> Iterator[str]:
    """absent() of anything but a selector has no labels, and hides which series it means."""
    for part in walk(expr):
        if isinstance(part, promql.Call) and part.func.name in ("absent", "absent_over_time"):
            argument = bare(part.args[0])
            if not isinstance(argument, promql.VectorSelector | promql.MatrixSelector):
                yield f"{part.func.name}() of {argument}: want a selector"


def no_job_is_named(expr: promql.Expr, _: Known) -> Iterator[str]:
    """Jobs of engines have the names that users gave them."""
    for selector in selectors(expr):
        for matcher in selector.matchers.matchers:
            if matcher.name == "job":
                yield f"{selector} depends on the name of a job"


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        check.__name__: check
        for check in (
            series_exist,
            labels_exist,
            counters_are_rated,
            gauges_are_not_rated,
            ranges_are_long_enough,
            denominators_are_guarded,
            quantiles_are_guarded,
            bounds_exist,
            absences_name_a_series,
            no_job_is_named,
        )
    }
)
"""All checks, by name."""
