"""What the series of an expression are: which labels they may have, and what they are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import promql_parser as promql

from scripts.inventory import ANY, Metric
from tests.unit.rules.rule_files import Rule
from tests.unit.rules.tree import is_scalar, parts, selectors

Labels = frozenset[str]

# The result is what the first argument of type vector is, with its labels.
_SET_OPERATORS = ("and", "unless")
_SELECTING = ("topk", "bottomk", "limitk")
# By file of the inventory: what docs/nginx-metrics.md has the scrape job give its targets.
_OF_THE_JOB = {"nginx_exporter": Labels({"lb"})}


class UnknownSeriesError(Exception):
    """An expression reads something that nobody publishes and no rule records."""


@dataclass(slots=True)
class Known:
    """All series that rules may read.

    Attributes:
        series: Labels of what servers publish, by name of the series.
        counters: Those of them that only grow.
        buckets: Upper bounds of histograms, by name of the bucket's series.
        recordings: Rules that record, by name of what they record.
    """

    series: Mapping[str, Labels]
    counters: Labels
    buckets: Mapping[str, Sequence[str]]
    recordings: Mapping[str, Sequence[Rule]]
    _labels: dict[str, Labels] = field(default_factory=dict)

    def labels_of_series(self, name: str) -> Labels:
        """The labels that a series may have."""
        if name in self.series:
            return self.series[name]
        if name not in self.recordings:
            raise UnknownSeriesError(name)
        if name not in self._labels:
            # A recording that reads itself finds here what the others say of it.
            self._labels[name] = Labels()
            for rule in self.recordings[name]:
                self._labels[name] |= self.labels(promql.parse(rule.expr)) | set(rule.labels)
        return self._labels[name]

    def bounds(self, name: str) -> set[str]:
        """The values that the label `le` of a series has."""
        if name in self.buckets:
            return set(self.buckets[name])
        return {
            bound
            for rule in self.recordings.get(name, ())
            for selector in selectors(promql.parse(rule.expr))
            for bound in self.bounds(selector.name or "")
        }

    def labels(self, expr: promql.Expr) -> Labels:
        """The labels that the result of an expression may have."""
        match expr:
            case promql.VectorSelector():
                return self.labels_of_series(expr.name or "")
            case promql.AggregateExpr():
                return self._of_aggregate(expr)
            case promql.BinaryExpr():
                return self._of_binary(expr)
            case promql.Call():
                return self._of_call(expr)
        return Labels().union(*(self.labels(part) for part in parts(expr)))

    def _of_aggregate(self, expr: promql.AggregateExpr) -> Labels:
        inner = self.labels(expr.expr)
        if str(expr.op) in _SELECTING:
            return inner
        if expr.modifier is None:
            return Labels()
        named = Labels(expr.modifier.labels)
        return named if expr.modifier.type == promql.AggModifierType.By else inner - named

    def _of_binary(self, expr: promql.BinaryExpr) -> Labels:
        left, right, how = self.labels(expr.lhs), self.labels(expr.rhs), expr.modifier
        operator = str(expr.op)
        if operator in _SET_OPERATORS:
            return left
        if operator == "or" or is_scalar(expr.lhs) or is_scalar(expr.rhs):
            return left | right
        if how is None or how.matching is None:
            return left | right if ANY in left | right else left & right
        return _joined(left, right, how)

    def _of_call(self, expr: promql.Call) -> Labels:
        inner = Labels().union(*(self.labels(argument) for argument in expr.args))
        name = expr.func.name
        if name in ("label_replace", "label_join"):
            return inner | {expr.args[1].val}
        if name in ("absent", "absent_over_time"):
            equal = promql.MatchOp.Equal
            return Labels(
                matcher.name
                for selector in selectors(expr)
                for matcher in selector.matchers.matchers
                if matcher.op == equal
            )
        if name == "scalar":
            return Labels()
        return inner - {"le"} if name == "histogram_quantile" else inner


def _joined(left: Labels, right: Labels, how: promql.BinModifier) -> Labels:
    """The labels of what arithmetic on matching series gives; `how` names labels to match on."""
    added = Labels(how.group_labels or ())
    if how.card == promql.VectorMatchCardinality.ManyToOne:
        return left | added
    if how.card == promql.VectorMatchCardinality.OneToMany:
        return right | added
    assert how.matching is not None
    named = Labels(how.matching.labels)
    return named if how.matching.type == promql.LabelModifierType.Include else left - named


def known(metrics: Mapping[str, Metric], recordings: Sequence[Rule]) -> Known:
    """What an inventory and recordings offer."""
    by_name: dict[str, list[Rule]] = {}
    for rule in recordings:
        by_name.setdefault(rule.name, []).append(rule)
    return Known(
        {
            name: own | _OF_THE_JOB.get(metric.source, Labels())
            for metric in metrics.values()
            for name, own in metric.series().items()
        },
        Labels().union(*(metric.counters for metric in metrics.values())),
        {f"{metric.name}_bucket": metric.le for metric in metrics.values() if metric.le},
        by_name,
    )
