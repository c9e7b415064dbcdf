"""The reference engine under a workload in virtual time, to compare the kernel with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.engine import Engine, Request, RequestRefusedError

if TYPE_CHECKING:
    from simulator.engine import EngineParameters, StepResult
    from simulator.fleet.events import SetKvBlocks, SetSpeed
    from simulator.fleet.pool import Workload


@dataclass
class Reference:
    """One engine, and what was seen of it."""

    engine: Engine
    finished: dict[int, tuple[float, float, int]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    steps: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    preemptions: int = 0
    gaps: int = 0
    gap_s: float = 0.0
    gauges: tuple[int, int, float] = (0, 0, 0.0)
    _under_way: StepResult | None = None

    def change(self, event: SetSpeed | SetKvBlocks) -> None:
        """Let an event happen to the engine."""
        if hasattr(event, "speed"):
            self.engine.speed = event.speed
            return
        resized = self.engine.set_num_gpu_blocks(event.num_gpu_blocks)
        self.preemptions += len(resized.preempted)
        self.failed |= {int(name) for name in resized.refused}

    def arrive(self, index: int, workload: Workload, now_s: float) -> None:
        """Take in a request; an idle engine begins a step with it."""
        request = Request(
            str(index),
            int(workload.prompt_tokens[index]),
            int(workload.output_tokens[index]),
            now_s,
        )
        try:
            self.engine.add(request)
        except RequestRefusedError:
            self.refused.add(index)
            return
        if self._under_way is None:
            self._under_way = self.engine.step(now_s)

    @property
    def step_ends_s(self) -> float:
        """When the step under way ends; infinite when there is none."""
        return self._under_way.ended_s if self._under_way else float("inf")

    def end_step(self) -> None:
        """Publish the step that ends, and begin the next one."""
        step = self._under_way
        assert step is not None
        self.steps += 1
        self.tokens += len(step.emitted)
        self.prompt_tokens += sum(request.prompt_tokens for request in step.first_tokens)
        self.preemptions += len(step.preempted)
        self.gaps += len(step.inter_token_s)
        self.gap_s += sum(step.inter_token_s)
        self.gauges = (step.running, step.waiting, step.kv_usage)
        for done in step.finished:
            self.finished[int(done.request.id)] = (
                done.first_token_s,
                done.finished_s,
                done.preemptions,
            )
        self._under_way = self.engine.step(step.ended_s) if self.engine.has_work else None


def play(
    parameters: EngineParameters, workload: Workload, events: list[SetSpeed | SetKvBlocks]
) -> Reference:
    """Let the reference engine do a workload to its end."""
    reference = Reference(Engine(parameters))
    arrivals = [(float(at_s), index) for index, at_s in enumerate(workload.arrival_s)]
    changes = sorted(events, key=lambda event: event.at_s)
    while arrivals or changes or reference.step_ends_s < float("inf"):
        change_s = changes[0].at_s if changes else float("inf")
        arrival_s = arrivals[0][0] if arrivals else float("inf")
        if reference.step_ends_s <= min(change_s, arrival_s):
            reference.end_step()
        elif arrival_s <= change_s:
            reference.arrive(arrivals.pop(0)[1], workload, arrival_s)
        else:
            reference.change(changes.pop(0))
    return reference
