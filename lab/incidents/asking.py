"""Questions to a Prometheus about the past."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Series:
    """A series of an answer: labels, and values by Unix time."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def values(self) -> list[float]:
        """The values in order of time."""
        return [value for _, value in self.points]

    def at(self, at_s: float) -> float | None:
        """The value at a time; None where there is none."""
        return next((value for when_s, value in self.points if when_s == at_s), None)


def over(url: str, promql: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
    """The answer to a range query."""
    found = _ask(f"{url}/api/v1/query_range", query=promql, start=start_s, end=end_s, step=step_s)
    return [_series(one["metric"], one["values"]) for one in found]


def then(url: str, promql: str, at_s: float) -> list[Series]:
    """The answer to an instant query, as series of one point."""
    found = _ask(f"{url}/api/v1/query", query=promql, time=at_s)
    return [_series(one["metric"], [one["value"]]) for one in found]


def _ask(url: str, **parameters: object) -> list[dict[str, Any]]:
    data = urllib.parse.urlencode(parameters).encode()
    request = urllib.request.Request(url, data)  # noqa: S310 - an address the laboratory made
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return list(json.load(answer)["data"]["result"])
    except urllib.error.HTTPError as error:
        raise ValueError(f"{parameters['query']}: {error.read().decode()}") from error


def _series(labels: Mapping[str, str], points: list[tuple[float, str]]) -> Series:
    return Series(labels, tuple((at_s, float(value)) for at_s, value in points))
