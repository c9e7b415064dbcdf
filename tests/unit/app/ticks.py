"""Records of ticks for tests of what is told of them; the decisions in them are real."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.app.loop import Result, TickRecord
from controller.core.decide import Action, Situation, decide
from controller.core.errors import ActuationError
from controller.core.memory import Memory
from controller.core.model import NginxView, Observation, PoolSnapshot, Signal, Snapshot
from controller.core.outcome import confirmed
from controller.core.settings import Limits, PoolSpec
from controller.policy.ladder import Ladder

START_S = 1_000_000.0
A, B, C = (f"10.0.0.{last}:8000" for last in range(1, 4))


def seen(kv_usage: float = 0.1, **more: float) -> Observation:
    """A healthy backend."""
    signals: dict[str, float] = {
        Signal.KV_USAGE: kv_usage,
        Signal.RUNNING: 2.0,
        Signal.WAITING: 0.0,
        Signal.PREEMPTIONS_TOTAL: 0.0,
        Signal.AWAKE: 1.0,
    }
    return Observation(signals | more, {}, 3.21, up=True)


def shot(second: float, observations: Mapping[str, Observation]) -> Snapshot:
    """A snapshot of the pool llm so many seconds after the start."""
    return Snapshot(START_S + second, {"llm": PoolSnapshot(observations)})


@dataclass
class Controller:
    """Ticks without clocks or I/O: Nginx confirms unless an error is given."""

    specs: Sequence[PoolSpec] = field(default_factory=lambda: [PoolSpec("llm", Ladder(), None)])
    memory: Memory = field(default_factory=Memory)
    served: str | None = "0" * 16
    endpoints: Mapping[str, str] = field(default_factory=dict)

    def tick(self, snapshot: Snapshot, error: ActuationError | None = None) -> TickRecord:
        """Run one tick and record it as the loop does."""
        view = NginxView(self.served, 2, 4, "" if self.served else "connection refused")
        situation = Situation(self.specs, Limits(), snapshot, self.memory, view, self.endpoints)
        decision, self.memory = decide(situation)
        result, apply_s = Result.HELD, None
        if decision.action == Action.APPLY:
            result, apply_s = Result.FAILED if error else Result.CONFIRMED, 0.4
            if error is None:
                self.memory = confirmed(self.memory, decision, snapshot.at_s)
                self.served = decision.rendered.generation
        told = error if result == Result.FAILED else None
        return TickRecord(snapshot, view, decision, self.memory, result, told, 0.05, apply_s)
