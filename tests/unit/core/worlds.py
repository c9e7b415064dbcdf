"""Small worlds for tests of the core: pools, observations and an Nginx, dull parts filled in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from controller.core.decide import Action, Decision, Situation, decide
from controller.core.errors import SourceError, SourceFault
from controller.core.memory import Memory
from controller.core.model import (
    NginxView,
    Observation,
    PoolSnapshot,
    SampleFault,
    Server,
    Signal,
    Snapshot,
)
from controller.core.outcome import confirmed
from controller.core.policy import PolicyMemory, Targets
from controller.core.settings import Limits, PoolSpec

A, B, C, D = (f"10.0.0.{last}:8000" for last in range(1, 5))
FOUR = (A, B, C, D)
# Early Unix times are no different, but a hold that began at 0 would be.
START_S = 1_000_000.0
REFUSED = SourceError(SourceFault.REFUSED, "connection refused")


@dataclass(frozen=True, slots=True)
class Wished:
    """A policy that gives each backend the weight that its KV usage names, in percent.

    Its `max_conns` are the waiting requests, if any, and it admits as many as a signal of that name
    says; where a signal `tried` is set they are a trial. It remembers the last wish; its neutral
    weight is 40.
    """

    name: ClassVar[str] = "wished"
    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.KV_USAGE})

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """Grant every wish."""
        weights = {address: 100 * each[Signal.KV_USAGE] for address, each in signals.items()}
        limits, admitted = (
            {address: int(each[name]) for address, each in signals.items() if each.get(name)}
            for name in (Signal.WAITING, "admitted")
        )
        learned = {address: {"wish": weight} for address, weight in weights.items()}
        details = dict.fromkeys(weights, "as wished")
        tried = frozenset(address for address, each in signals.items() if each.get("tried"))
        targets = Targets(weights, details, limits, admitted, counted=tried, tried=tried)
        return targets, {**memory, **learned}

    def neutral(self, backends: Sequence[str], memory: PolicyMemory) -> Mapping[str, float]:
        """The same for all."""
        del memory
        return dict.fromkeys(backends, 40.0)


def seen(weight: float = 100, **signals: float) -> Observation:
    """A healthy observation; `Wished` gives the backend this weight."""
    healthy: dict[str, float] = {
        Signal.KV_USAGE: weight / 100,
        Signal.RUNNING: 1.0,
        Signal.PROGRESS_RATE: 5.0,
        Signal.FAILED_RATE: 0.0,
        Signal.FINISHED_RATE: 1.0,
        Signal.AWAKE: 1.0,
    }
    return Observation(signals=healthy | signals, age_s=3.0, up=True)


def stalled(weight: float = 100) -> Observation:
    """Has requests and makes no step."""
    return seen(weight, progress_rate=0.0)


def asleep(weight: float = 100) -> Observation:
    """Its engine sleeps."""
    return seen(weight, awake=0.0)


def faulty(fault: SampleFault) -> Observation:
    """The signal that `Wished` needs cannot be used."""
    return Observation(
        signals={Signal.RUNNING: 1.0}, faults={Signal.KV_USAGE: fault}, age_s=90.0, up=True
    )


def unscraped() -> Observation:
    """The last scrape failed; older samples are still there."""
    return Observation(signals=seen().signals, age_s=20.0, up=False)


def pool_of(
    backends: Iterable[str] | None = FOUR, *, name: str = "llm", **rest: object
) -> PoolSpec:
    """A pool that follows wishes."""
    members = None if backends is None else tuple(backends)
    defaults: dict[str, object] = {"policy": Wished()}
    return PoolSpec(name=name, backends=members, **(defaults | rest))  # type: ignore[arg-type]  # by name, from the tests


def shot(
    at_s: float,
    observations: Mapping[str, Observation] | None = None,
    *,
    name: str = "llm",
    **rest: object,
) -> Snapshot:
    """A snapshot of one pool; four healthy backends when nothing else is said."""
    found = dict.fromkeys(FOUR, seen()) if observations is None else observations
    return Snapshot(at_s, {name: PoolSnapshot(found)}, **rest)  # type: ignore[arg-type]  # by name, from the tests


def blind(at_s: float) -> Snapshot:
    """Prometheus could not be asked."""
    return Snapshot(at_s, error=REFUSED)


def lines(decision: Decision, pool: str = "llm") -> dict[str, Server]:
    """The wanted server lines by address."""
    return {server.address: server for server in decision.pools[pool].target.servers}


def weights(decision: Decision, pool: str = "llm") -> dict[str, int]:
    """The wanted weights by address."""
    return {address: server.weight for address, server in lines(decision, pool).items()}


def out(decision: Decision, pool: str = "llm") -> set[str]:
    """Addresses that are wanted down."""
    return {address for address, server in lines(decision, pool).items() if server.down}


def why(decision: Decision, address: str, pool: str = "llm") -> str:
    """The reason for the line of a backend."""
    return decision.pools[pool].target.reasons[address][0]


@dataclass
class World:
    """Pools with their memory, and an Nginx that serves whatever is applied."""

    specs: Sequence[PoolSpec] = field(default_factory=lambda: [pool_of()])
    limits: Limits = field(default_factory=Limits)
    memory: Memory = field(default_factory=Memory)
    served: str | None = "0" * 16
    endpoints: Mapping[str, str] = field(default_factory=dict)
    lingering: int | None = None
    reloads: list[float] = field(default_factory=list)

    def decide(self, snapshot: Snapshot) -> Decision:
        """Decide and remember what was observed; nothing is applied."""
        view = NginxView(self.served, self.lingering, 4, "" if self.served else "refused")
        decision, self.memory = decide(
            Situation(self.specs, self.limits, snapshot, self.memory, view, self.endpoints)
        )
        return decision

    def tick(self, snapshot: Snapshot) -> Decision:
        """Decide, and let Nginx confirm at once what is to be applied."""
        decision = self.decide(snapshot)
        if decision.action == Action.APPLY:
            self.confirm(decision)
        return decision

    def confirm(self, decision: Decision) -> None:
        """Nginx serves the decision's file."""
        self.served = decision.rendered.generation
        self.memory = confirmed(self.memory, decision, decision.at_s)
        self.reloads.append(decision.at_s)
