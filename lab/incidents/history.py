"""Samples as Prometheus would have stored them, written as OpenMetrics."""

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path


class History:
    """Series with their samples in order of time."""

    def __init__(self) -> None:
        # Arrays, since a million small objects keep the garbage collector busy.
        self._series: dict[str, tuple[array[float], array[int]]] = {}

    def scrape(
        self, job: str, instance: str, at_s: int, found: Iterable[tuple[str, float]] | None
    ) -> None:
        """Store what a target answered.

        Args:
            job: Its job.
            instance: Its instance label.
            at_s: Unix time.
            found: Series and values; None when it did not answer.
        """
        target, count = f'instance="{instance}",job="{job}"', 0
        for series, value in found or ():
            count += 1
            labelled = series[-1] == "}"
            self.add(
                f"{series[:-1]},{target}}}" if labelled else f"{series}{{{target}}}", at_s, value
            )
        for name, value in (
            ("up", float(found is not None)),
            ("scrape_samples_scraped", count),
            ("scrape_duration_seconds", 0.004 + 2e-6 * count),
        ):
            self.add(f"{name}{{{target}}}", at_s, value)

    def add(self, series: str, at_s: int, value: float) -> None:
        """Store one sample."""
        if series not in self._series:
            self._series[series] = array("d"), array("q")
        values, times = self._series[series]
        values.append(value)
        times.append(at_s)

    def lines(self) -> Iterator[str]:
        """OpenMetrics, series by series."""
        for series, (values, times) in self._series.items():
            for value, at_s in zip(values, times, strict=True):
                yield f"{series} {round(value, 6)!r} {at_s}\n"
        yield "# EOF\n"

    def write(self, path: Path) -> int:
        """Write a file for `promtool tsdb create-blocks-from openmetrics`; returns its samples."""
        with path.open("w") as file:
            file.writelines(self.lines())
        return sum(len(values) for values, _ in self._series.values())
