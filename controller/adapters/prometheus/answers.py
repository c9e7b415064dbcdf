"""From the two answers of a tick to observations; one tight loop each, for 10,000 backends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.adapters.prometheus.pools import PoolQuery
from controller.adapters.prometheus.queries import (
    AGE,
    FOREIGN,
    TAG,
    UP,
    landmark_without_colon,
    stale_tag,
    state_tag,
    value_tag,
)
from controller.core.errors import SourceError, SourceFault
from controller.core.model import SampleFault

Result = list[dict[str, Any]]
_INFINITY = float("inf")


@dataclass(slots=True)
class PoolAnswer:
    """What the answers say about one pool, by value of the instance label.

    Attributes:
        values: Finite values by signal.
        faults: Signals whose value cannot be used.
        up: Whether the last scrape succeeded.
        ages: Age of the oldest sample in seconds.
        foreign: Names found where the colon was lost.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    faults: dict[str, dict[str, SampleFault]] = field(default_factory=dict)
    up: dict[str, bool] = field(default_factory=dict)
    ages: dict[str, float] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()


def sort_answers(
    pools: Sequence[PoolQuery], values: Result, freshness: Result
) -> tuple[PoolAnswer, ...]:
    """Sort the series of both answers by pool and instance.

    Raises:
        SourceError: A series is not of the shape of the Prometheus API.
    """
    answers = tuple(PoolAnswer() for _ in pools)
    try:
        _sort_values(pools, answers, values)
        _sort_freshness(pools, answers, freshness)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise SourceError(
            SourceFault.NOT_PROMETHEUS, f"a series of the answer has another shape: {error!r}"
        ) from error
    return answers


def _sort_values(pools: Sequence[PoolQuery], answers: Sequence[PoolAnswer], result: Result) -> None:
    places = {
        value_tag(index, signal): (signal, pool.instance_label, answer)
        for index, (pool, answer) in enumerate(zip(pools, answers, strict=True))
        for signal in (*pool.profiled(), *pool.own())
    }
    for series in result:
        labels = series["metric"]
        signal, instance_label, answer = places[labels[TAG]]
        instance = labels.get(instance_label)
        if instance is None:
            continue  # PromQL of the user that lost the label: missing, and named by the check
        try:
            value = float(series["value"][1])
        except (KeyError, ValueError, TypeError):
            # A native histogram has no "value"; anything else is no number.
            fault = SampleFault.MALFORMED
        else:
            if -_INFINITY < value < _INFINITY:
                of_instance = answer.values.get(instance)
                if of_instance is None:
                    of_instance = answer.values[instance] = {}
                of_instance[signal] = value
                continue
            fault = SampleFault.NAN if value != value else SampleFault.INFINITE  # noqa: PLR0124 - only NaN
        answer.faults.setdefault(instance, {})[signal] = fault


def _sort_freshness(
    pools: Sequence[PoolQuery], answers: Sequence[PoolAnswer], result: Result
) -> None:
    stale: Mapping[str, tuple[int, str]] = {
        stale_tag(index, signal): (index, signal)
        for index, pool in enumerate(pools)
        for signal in pool.profiled()
    }
    ups = {state_tag(index, UP): index for index in range(len(pools))}
    ages = {state_tag(index, AGE): index for index in range(len(pools))}
    foreign = {state_tag(index, FOREIGN): index for index in range(len(pools))}
    for series in result:
        labels = series["metric"]
        tag = labels[TAG]
        value = float(series["value"][1])
        if tag in foreign:
            landmark = pools[foreign[tag]].engine().landmark
            if landmark is not None:
                answers[foreign[tag]].foreign = (landmark_without_colon(landmark).name,)
            continue
        index = ups.get(tag, ages.get(tag, -1))
        signal = ""
        if index < 0:
            index, signal = stale[tag]
        instance = labels.get(pools[index].instance_label)
        if instance is None:
            continue  # a target without the label: no backend of the pool
        answer = answers[index]
        if signal:
            answer.faults.setdefault(instance, {})[signal] = SampleFault.STALE
        elif tag in ups:
            answer.up[instance] = value == 1
        else:
            answer.ages[instance] = value
