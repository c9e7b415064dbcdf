"""One tick: observe, decide, apply if it matters, confirm, record."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.core.decide import Action, Decision, Situation, decide, members_of, names_of
from controller.core.errors import ActuationError
from controller.core.memory import Memory
from controller.core.model import NginxView, Snapshot
from controller.core.outcome import adopted, confirmed, failed
from controller.core.ports import Actuator, Resolver, Source
from controller.core.settings import Limits, PoolSpec


class Result(StrEnum):
    """How a tick ended."""

    CONFIRMED = "confirmed"
    """A new generation was applied and Nginx serves it."""
    HELD = "held"
    """Nothing was to be done, or it was not the time."""
    FAILED = "failed"
    """The new generation is not live; what was live before still is."""
    DRY_RUN = "dry_run"
    """A new generation would have been applied."""


@dataclass(frozen=True, slots=True)
class TickRecord:
    """Everything about one tick, for telemetry and people.

    Attributes:
        snapshot: What Prometheus said.
        nginx: What Nginx said before the decision.
        decision: What was decided.
        memory: The memory after the tick.
        result: How it ended.
        error: Why it failed; None when it did not.
        duration_s: Wall time of the tick in seconds.
        apply_s: Wall time from push to confirmation; None when nothing was pushed.
    """

    snapshot: Snapshot
    nginx: NginxView
    decision: Decision
    memory: Memory
    result: Result
    error: ActuationError | None
    duration_s: float
    apply_s: float | None

    @property
    def served(self) -> str | None:
        """The generation that Nginx serves after the tick, as far as is known."""
        if self.result == Result.CONFIRMED:
            return self.decision.rendered.generation
        return self.nginx.generation


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a loop works with."""

    specs: Sequence[PoolSpec]
    limits: Limits
    source: Source
    actuator: Actuator
    resolver: Resolver
    clock: Callable[[], float] = time.time
    dry_run: bool = False


class Loop:
    """The controller's loop: holds the memory between ticks and the record of the last one."""

    def __init__(self, wiring: Wiring, memory: Memory) -> None:
        self._with = wiring
        self._memory = memory
        self._adopted = False
        self.record: TickRecord | None = None

    @property
    def memory(self) -> Memory:
        """The memory after the last tick."""
        return self._memory

    def tick(self) -> TickRecord:
        """Run one tick and keep its record; failures of Prometheus or Nginx are in the record."""
        started_s = time.perf_counter()
        use = self._with
        snapshot = use.source.observe(use.clock())
        nginx = use.actuator.view()
        memory = self._adopt(nginx)
        decision, memory = decide(
            Situation(
                use.specs, use.limits, snapshot, memory, nginx, self._endpoints(snapshot, memory)
            )
        )
        result, error, apply_s = Result.HELD, None, None
        if decision.action == Action.APPLY:
            if use.dry_run:
                result = Result.DRY_RUN
            else:
                result, memory, error, apply_s = self._apply(decision, memory)
        self._memory = memory
        duration_s = time.perf_counter() - started_s
        self.record = TickRecord(
            snapshot, nginx, decision, memory, result, error, duration_s, apply_s
        )
        return self.record

    def _adopt(self, nginx: NginxView) -> Memory:
        if self._adopted and self._memory.applied is not None:
            return self._memory
        self._adopted = self._adopted or nginx.generation is not None
        return adopted(self._memory, nginx, self._with.actuator.served_text())

    def _endpoints(self, snapshot: Snapshot, memory: Memory) -> dict[str, str]:
        names: list[str] = []
        for spec in self._with.specs:
            names += names_of(members_of(spec, snapshot, memory, self._with.limits))
        return dict(self._with.resolver.resolve(names)) if names else {}

    def _apply(
        self, decision: Decision, memory: Memory
    ) -> tuple[Result, Memory, ActuationError | None, float]:
        started_s = time.perf_counter()
        rendered = decision.rendered
        try:
            self._with.actuator.apply(rendered.generation, rendered.text)
        except ActuationError as error:
            memory = failed(memory, decision, error, self._with.clock(), self._with.limits)
            return Result.FAILED, memory, error, time.perf_counter() - started_s
        memory = confirmed(memory, decision, self._with.clock())
        return Result.CONFIRMED, memory, None, time.perf_counter() - started_s
