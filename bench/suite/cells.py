"""Cells: a scenario at one load, and what a run of it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.suite.contenders import Course
from bench.suite.figures import Figures, figures_of
from bench.suite.pools import POOLS, context_len, saturation
from bench.suite.traces import merged, trace
from simulator.fleet.events import Event, Join
from simulator.fleet.running import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.suite.contenders import Contender
    from bench.suite.scenario import Scenario
    from simulator.fleet.pool import Workload
    from simulator.fleet.results import RunResult


@dataclass(frozen=True, slots=True)
class Cell:
    """A scenario at one load."""

    scenario: Scenario
    load: float

    @property
    def name(self) -> str:
        """As results call it."""
        return f"{self.scenario.name}@{self.load:g}"

    @property
    def rate(self) -> float:
        """The mean rate of arrivals in requests per second, bursts aside."""
        return self.load * sum(saturation(self.scenario.pool, self.scenario.trace))

    @property
    def events(self) -> tuple[Event, ...]:
        """What happens to servers."""
        return tuple(event for entry in self.scenario.events for event in entry.events())

    def workload(self, seed: int) -> Workload:
        """The requests of a seed: the same for all that are compared."""
        scenario = self.scenario
        recorded = trace(scenario.trace, context_len(scenario.pool))
        if scenario.arrivals == "merged":
            workload = merged(recorded, self.rate, scenario.duration_s, seed)
        else:
            workload = recorded.replayed(self.rate, scenario.duration_s, seed)
        if scenario.burst is not None:
            burst = scenario.burst
            workload = workload.with_burst(burst.start_s, burst.length_s, burst.factor)
        return workload

    def play(self, contender: Contender, workload: Workload, seed: int) -> RunResult:
        """Run the cell with one router."""
        scenario, events = self.scenario, self.events
        pool = POOLS[scenario.pool]
        course = Course(
            pool,
            saturation(scenario.pool, scenario.trace),
            discovered=any(isinstance(event, Join) and event.discovered for event in events),
        )
        return run(
            pool,
            workload,
            contender.router(course),
            events,
            seed=seed,
            duration_s=scenario.duration_s,
            warmup_s=scenario.warmup_s,
        )

    def figures(self, contender: Contender, workload: Workload, seed: int) -> Figures:
        """Run the cell with one router, and take its figures."""
        return figures_of(self.play(contender, workload, seed), self.scenario.recovery_from_s)


def cells_of(scenarios: Sequence[Scenario], *, quick: bool = False) -> tuple[Cell, ...]:
    """The cells of scenarios, in their order; only those of the quick suite if so wanted."""
    return tuple(
        Cell(scenario, load)
        for scenario in scenarios
        for load in (scenario.quick_loads if quick else scenario.loads)
    )
