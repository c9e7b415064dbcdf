"""Equal weights: plain `least_conn`, the baseline and the neutral fallback."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from controller.core.model import Signal
from controller.core.policy import WEIGHT_MAX, PolicyMemory, Targets


@dataclass(frozen=True, slots=True)
class Equal:
    """w = 100 for every backend. Ejections for cause still apply, they are not the policy's."""

    name: ClassVar[str] = "equal"
    needs: ClassVar[frozenset[Signal]] = frozenset()

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """Give every backend the same weight; nothing is learned."""
        return Targets(dict.fromkeys(signals, WEIGHT_MAX)), memory

    def neutral(self, backends: Sequence[str], memory: PolicyMemory) -> Mapping[str, float]:
        """Equal weights."""
        del memory
        return dict.fromkeys(backends, WEIGHT_MAX)
