"""Looks at Prometheus, the controller and the load, and makes views of them."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from controller.core.reasons import BackendReason
from lab.controller import RunningController
from lab.demo.plan import SPEEDS, THROTTLED, THROTTLED_SPEED
from lab.demo.routers import Router
from lab.demo.stage import SELECTOR, Stage
from lab.demo.view import BackendView
from lab.load import Load, percentile

# Prometheus scrapes once a second; asking more often shows nothing new.
LOOK_EVERY_S = 1.0
TTFT_WINDOW_S = 10.0
_GAUGES = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_usage",
}
_QUERY = f'{{__name__=~"{"|".join(_GAUGES)}",{SELECTOR}}}'
_BY_HAND = {
    Router.ROUND_ROBIN: "each in its turn, whatever it can carry",
    Router.LEAST_CONN: "whoever has the fewest requests in flight",
    Router.CONTROLLER: "the controller starts",
}


Lines = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class WeightChange:
    """What Nginx serves now and did before, and a sentence for each backend that changed."""

    text: str
    reasons: list[str]


@dataclass(slots=True)
class Watch:
    """Remembers the last look, since looking costs time and nothing changes within a second."""

    stage: Stage
    throttled: bool = False
    _gauges: dict[str, dict[str, float]] = field(default_factory=dict)
    _lines: Lines = field(default_factory=dict)
    _held: str = ""
    _looked_s: float = 0.0

    def new_turn(self) -> None:
        """Forget what the last router's controller said."""
        self._lines = {}
        self.throttled = False

    def look(self, controller: RunningController | None) -> WeightChange | None:
        """Look, unless the last look is recent; says which weights changed since."""
        if time.monotonic() < self._looked_s + LOOK_EVERY_S:
            return None
        self._looked_s = time.monotonic()
        try:
            found = self.stage.prometheus.query(_QUERY)
            status = controller.status() if controller else None
        except OSError:
            return None  # whether a server has ended is asked elsewhere
        self._gauges = {}
        for series in found:
            labels = series["metric"]
            of_backend = self._gauges.setdefault(labels["instance"], {})
            of_backend[_GAUGES[labels["__name__"]]] = float(series["value"][1])
        if status is None:
            return None
        before = self._lines
        pool = status["pools"][0]
        self._held = pool["reason"]
        lines = {line["address"]: line for line in pool["backends"]}
        names = self.stage.backends.items()
        self._lines = {name: lines[backend.address] for name, backend in names}
        return _change(before, self._lines) if before else None

    def backends(self, router: Router, load: Load | None) -> list[BackendView]:
        """The backends as they were at the last look."""
        served = Counter(outcome.backend for outcome in load.outcomes) if load else Counter()
        views = []
        for name, address in zip(SPEEDS, self.stage.addresses, strict=True):
            gauges = self._gauges.get(address, {})
            line = self._lines.get(name)
            slowed = self.throttled and name == THROTTLED
            views.append(
                BackendView(
                    name=name,
                    address=address,
                    speed=THROTTLED_SPEED if slowed else SPEEDS[name],
                    usual_speed=SPEEDS[name],
                    weight=weight_of(line) if line else "equal",
                    reason=self._why(line) if line else _BY_HAND[router],
                    running=gauges.get("running"),
                    waiting=gauges.get("waiting"),
                    kv_usage=gauges.get("kv_usage"),
                    served=served[address],
                )
            )
        return views

    def _why(self, line: dict[str, Any]) -> str:
        """Why it has its weight, or why it has not the one that is wanted."""
        if line["weight_desired"] == line["weight_applied"]:
            return reason_of(line)
        return f"{line['weight_desired']} is wanted ({self._held}): {reason_of(line)}"


def weight_of(line: dict[str, Any]) -> str:
    """The weight that Nginx serves, from a line of the controller's status."""
    weight = "-" if line["weight_applied"] is None else str(line["weight_applied"])
    return "down" if line["down_applied"] else weight


def reason_of(line: dict[str, Any]) -> str:
    """Why, from a line of the controller's status."""
    reason, detail = line["reason"], line["detail"]
    if reason == BackendReason.POLICY:
        return str(detail)
    return f"{reason}: {detail}" if detail else str(reason)


def _change(before: Lines, after: Lines) -> WeightChange | None:
    old = {name: weight_of(line) for name, line in before.items()}
    new = {name: weight_of(line) for name, line in after.items()}
    if old == new:
        return None
    reasons = [
        f"{name} {old[name]} -> {new[name]}: {reason_of(line)}"
        for name, line in after.items()
        if old[name] != new[name]
    ]
    return WeightChange(f"weights {'/'.join(new.values())}, were {'/'.join(old.values())}", reasons)


def recent_ttft(load: Load | None) -> tuple[float | None, float | None]:
    """P50 and P99 of the TTFT of first tokens within the last seconds."""
    if load is None:
        return None, None
    since_s = load.elapsed_s - TTFT_WINDOW_S
    recent = [ttft_s for at_s, ttft_s in list(load.first_tokens) if at_s >= since_s]
    return percentile(recent, 50), percentile(recent, 99)
