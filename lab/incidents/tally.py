"""Counters and histograms that a simulated process keeps, and loses when it restarts."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

# Seven equal parts of a lognormal scatter of about 15 %: many values near one mean are counted by
# their distribution, since a token each would be too many to draw.
_SCATTER = tuple(math.exp(0.15 * z) for z in (-1.47, -0.79, -0.37, 0.0, 0.37, 0.79, 1.47))


class Histogram:
    """A histogram as Prometheus knows it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        # Whole bounds that are floats are written "1.0", as Python's client does, ints "1" as Go's.
        self._bounds = list(bounds)
        self._counts = [0.0] * (len(bounds) + 1)
        self.sum = 0.0
        self.count = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value
        self.count += 1

    def observe_about(self, mean: float, count: float) -> None:
        """Count so many values scattered about a mean; the number may be fractional."""
        part = count / len(_SCATTER)
        for factor in _SCATTER:
            self._counts[bisect_left(self._bounds, mean * factor)] += part
        self.sum += mean * count
        self.count += count

    def samples(self, name: str, labels: str) -> Iterator[tuple[str, float]]:
        """Series and values, whole numbers in the buckets; `labels` has no braces."""
        total, comma = 0.0, "," if labels else ""
        for bound, count in zip([*self._bounds, math.inf], self._counts, strict=True):
            total += count
            le = "+Inf" if bound == math.inf else repr(bound)
            yield f'{name}_bucket{{{labels}{comma}le="{le}"}}', _whole(total)
        braced = f"{{{labels}}}" if labels else ""
        yield f"{name}_count{braced}", _whole(total)
        yield f"{name}_sum{braced}", self.sum


def _whole(total: float) -> float:
    # Parts of a whole number add up to a hair less than it.
    return math.floor(total + 1e-6)


class Tally:
    """Counters by series and histograms by name and labels, born when they are first used."""

    def __init__(self) -> None:
        self.counters: defaultdict[str, float] = defaultdict(float)
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def histogram(self, name: str, labels: str, bounds: Sequence[float]) -> Histogram:
        """The histogram of this name and these labels."""
        key = (name, labels)
        if key not in self._histograms:
            self._histograms[key] = Histogram(bounds)
        return self._histograms[key]

    def samples(self) -> Iterator[tuple[str, float]]:
        """All series and values."""
        for series, count in self.counters.items():
            yield series, _whole(count)
        for (name, labels), histogram in self._histograms.items():
            yield from histogram.samples(name, labels)
