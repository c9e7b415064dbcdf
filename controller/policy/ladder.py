"""The public ladder: KV-cache thresholds, with one step down per sign of trouble.

    rung = the first threshold that the KV-cache use reaches: 0.92 -> 10, 0.85 -> 30, 0.75 -> 60,
           else 100
    weight = rung, one rung lower for each of: requests wait; preemptions grew since the last tick;
             more than 8 requests run; never below the lowest rung

This is the recipe that many people run today, kept for those who come from it. Under load it is
worse than equal weights: its weights are not capacities, and it changes them often.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from controller.core.model import Signal
from controller.core.policy import WEIGHT_MAX, PolicyMemory, Targets

_PREEMPTIONS = "preemptions_total"


@dataclass(frozen=True, slots=True)
class Ladder:
    """The ladder with its parameters.

    Attributes:
        thresholds: KV-cache use (0..1), one per rung but the last, falling.
        weights: One weight per threshold from the fullest rung up, then the weight below all
            thresholds; rising, so the first one is the floor.
        busy_running: Running requests above which a backend is stepped down.
    """

    name: ClassVar[str] = "ladder"
    needs: ClassVar[frozenset[Signal]] = frozenset(
        {Signal.KV_USAGE, Signal.WAITING, Signal.RUNNING, Signal.PREEMPTIONS_TOTAL}
    )

    thresholds: tuple[float, ...] = (0.92, 0.85, 0.75)
    weights: tuple[int, ...] = (10, 30, 60, 100)
    busy_running: float = 8

    def __post_init__(self) -> None:
        """Refuse rungs that make no ladder.

        Raises:
            ValueError: Each fault in a sentence.
        """
        faults = []
        if len(self.weights) != len(self.thresholds) + 1:
            faults.append(
                f"expected one weight more than thresholds, got {len(self.weights)} weights and"
                f" {len(self.thresholds)} thresholds"
            )
        if list(self.thresholds) != sorted({t for t in self.thresholds if 0 < t <= 1})[::-1]:
            faults.append("thresholds: expected falling values in (0, 1]")
        if list(self.weights) != sorted({w for w in self.weights if 1 <= w <= WEIGHT_MAX}):
            faults.append("weights: expected rising values in 1..100")
        if not 0 <= self.busy_running < math.inf:
            faults.append("busy_running: expected a number of at least 0")
        if faults:
            raise ValueError("; ".join(faults))

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """Put every backend on its rung; remembers the preemption counters."""
        weights: dict[str, float] = {}
        details: dict[str, str] = {}
        counters: dict[str, Mapping[str, float]] = dict(memory)
        for address, values in signals.items():
            total = values[Signal.PREEMPTIONS_TOTAL]
            before = memory.get(address, {}).get(_PREEMPTIONS, total)
            # A counter that fell belongs to a restarted engine; it says nothing of growth.
            weights[address], details[address] = self._judge(values, max(0.0, total - before))
            counters[address] = {_PREEMPTIONS: total}
        return Targets(weights, details), counters

    def neutral(self, backends: Sequence[str], memory: PolicyMemory) -> Mapping[str, float]:
        """Equal weights: the ladder learns nothing that lasts."""
        del memory
        return dict.fromkeys(backends, WEIGHT_MAX)

    def _judge(self, values: Mapping[str, float], preempted: float) -> tuple[float, str]:
        kv_usage = values[Signal.KV_USAGE]
        rung = len(self.thresholds)
        for index, threshold in enumerate(self.thresholds):
            if kv_usage >= threshold:
                rung = index
                break
        signs = [f"KV {kv_usage:.2f}: {self.weights[rung]}"]
        if values[Signal.WAITING] > 0:
            signs.append(f"{values[Signal.WAITING]:.0f} waiting")
        if preempted > 0:
            signs.append(f"{preempted:.0f} preempted since the last tick")
        if values[Signal.RUNNING] > self.busy_running:
            signs.append(f"{values[Signal.RUNNING]:.0f} running")
        rung = max(0, rung - (len(signs) - 1))
        return float(self.weights[rung]), ", one step down for ".join(signs)
