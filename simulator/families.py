"""Metric families that all carry the same constant labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prometheus_client import CollectorRegistry


class Families:
    """Makes families in one registry, and returns their series with the constant labels set.

    The plural forms take one label more and return a series for each of its values, so that all
    of them exist from the start, at 0.
    """

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self._registry = registry
        self._labels = labels

    def gauge(self, name: str, text: str) -> Gauge:
        """Return the series of a gauge."""
        family = Gauge(name, text, tuple(self._labels), registry=self._registry)
        return family.labels(**self._labels)

    def counter(self, name: str, text: str) -> Counter:
        """Return the series of a counter."""
        family = Counter(name, text, tuple(self._labels), registry=self._registry)
        return family.labels(**self._labels)

    def histogram(self, name: str, text: str, bounds: Sequence[float]) -> Histogram:
        """Return the series of a histogram with the upper bounds given."""
        names = tuple(self._labels)
        family = Histogram(name, text, names, registry=self._registry, buckets=bounds)
        return family.labels(**self._labels)

    def gauges(self, name: str, text: str, label: str, values: Sequence[str]) -> dict[str, Gauge]:
        """Return the series of a gauge by the value of one more label."""
        family = Gauge(name, text, (*self._labels, label), registry=self._registry)
        return {value: family.labels(**self._labels, **{label: value}) for value in values}

    def counters(
        self, name: str, text: str, label: str, values: Sequence[str]
    ) -> dict[str, Counter]:
        """Return the series of a counter by the value of one more label."""
        family = Counter(name, text, (*self._labels, label), registry=self._registry)
        return {value: family.labels(**self._labels, **{label: value}) for value in values}
