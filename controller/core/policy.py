"""What a policy is: the interface that every algorithm of `controller.policy` has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from controller.core.model import Signal

PolicyMemory = Mapping[str, Mapping[str, float]]
"""What a policy carries from tick to tick: named numbers by backend address."""

WEIGHT_MAX = 100.0


@dataclass(frozen=True, slots=True)
class Carries:
    """What a policy has learned that a backend can carry.

    Attributes:
        tokens_per_s: Generated tokens per second with all its slots taken.
        slots: Sequences that it runs at once; None while that is an assumption.
    """

    tokens_per_s: float
    slots: float | None


@dataclass(frozen=True, slots=True)
class Targets:
    """What a policy wants.

    Attributes:
        weights: By backend, in (0, 100]; under `least_conn` a weight is a target number of requests
            in flight relative to the others.
        details: Why, by backend, in a sentence for a person.
        max_conns: Slots by backend: how many requests it runs at once; the next one had better go
            elsewhere. Backends without a limit are absent.
        admitted: Most requests in flight by backend that it serves within the latency objective;
            beyond them all, a request is better turned away. Absent where it is not known.
        unknown: Backends of which the policy has learned nothing yet. They keep the weight that
            Nginx serves; only one that it does not serve gets the weight given here.
        carries: What was learned, for people and autoscalers; also of backends whose signals are
            not usable now. Those of which nothing was learned are absent.
        counted: Backends whose slots, or the lack of any, are known rather than estimated: the
            engine's own limit, a trial, the end of one. A change is wanted at once, however small.
        tried: Those of them whose slots are a trial, while the engine's limit is unknown.
    """

    weights: Mapping[str, float]
    details: Mapping[str, str] = field(default_factory=dict)
    max_conns: Mapping[str, int] = field(default_factory=dict)
    admitted: Mapping[str, int] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    carries: Mapping[str, Carries] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()

    @property
    def shares(self) -> dict[str, float]:
        """The weights scaled to a sum of 1."""
        total = sum(self.weights.values())
        return {address: weight / total for address, weight in self.weights.items()}


class Policy(Protocol):
    """One way to turn signals into weights. Stateless: what it learns is in the memory."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[Signal]]
    """Signals without which a backend cannot be judged; such a backend is not passed to `step`."""

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """Judge the backends whose signals are usable in this tick.

        Args:
            signals: By backend, finite and fresh values by signal name; never empty.
            memory: What the last step returned. Entries of absent backends are to be kept.

        Returns:
            Targets for exactly the backends in `signals`, and the memory for the next step.
        """

    def neutral(self, backends: Sequence[str], memory: PolicyMemory) -> Mapping[str, float]:
        """Weights for when nothing has been measured for long: what was learned, or equal ones."""
