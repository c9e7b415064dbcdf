"""The three routers' turns: the same load for each, one backend throttled half-way."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.policy.capacity import Capacity
from lab.controller import RunningController, controller, local_nginx
from lab.demo.background import in_background
from lab.demo.plan import RESERVE_S, SPEEDS, THROTTLED, THROTTLED_SPEED, Plan
from lab.demo.routers import POOL, Router
from lab.demo.settings import Settings
from lab.demo.stage import SELECTOR, Stage, check_alive
from lab.demo.view import Progress, Reporter, View
from lab.demo.watch import Watch, recent_ttft
from lab.load import Load, Outcome
from simulator.presets import LAB

# Often enough for bars that move and a throttle that comes in time.
STEP_S = 0.25
MODEL = "simulated"
INTRODUCTION = {
    Router.ROUND_ROBIN: "the default of Nginx",
    Router.LEAST_CONN: "one more line in the upstream",
    Router.CONTROLLER: "least_conn with weights, learned from nothing",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """What a router's turn gave.

    Attributes:
        router: The router.
        requests: How many requests there were.
        outcomes: What became of those that were sent.
        reloads: Reloads by the controller.
    """

    router: Router
    requests: int
    outcomes: tuple[Outcome, ...]
    reloads: int


@dataclass(slots=True)
class Clock:
    """The time of the whole demo: since `began_s` on the monotonic clock, for `seconds`."""

    began_s: float
    seconds: float

    @property
    def now_s(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self.began_s

    @property
    def left_s(self) -> float:
        """Seconds until it has to end."""
        return self.seconds - self.now_s


class Turns:
    """Plays the turns on a stage."""

    def __init__(
        self, stage: Stage, settings: Settings, plan: Plan, clock: Clock, reporter: Reporter
    ) -> None:
        self._stage = stage
        self._settings = settings
        self._plan = plan
        self._clock = clock
        self._reporter = reporter
        self._watch = Watch(stage)
        self._progress = {each: Progress(each, len(plan.arrivals)) for each in Router}

    def play(self, directory: Path) -> list[Turn]:
        """Play all turns, in their order."""
        return [self._turn(router, directory) for router in Router]

    def _turn(self, router: Router, directory: Path) -> Turn:
        # What a turn does not need of its share is left to those after it.
        later = list(Router)[list(Router).index(router) + 1 :]
        later_s = sum(self._plan.share_s[each] for each in later) + RESERVE_S
        deadline_s = self._clock.now_s + self._clock.left_s - later_s
        self._tell(f"{router.spoken}: {INTRODUCTION[router]}")
        self._watch.new_turn()
        self._stage.reset()
        self._stage.route(router)
        with contextlib.ExitStack() as stack:
            running = None
            if router is Router.CONTROLLER:
                self._pause(router, self._plan.cadence.rate_window)
                config = configuration(self._stage, self._settings, self._plan, directory)
                running = stack.enter_context(controller(directory, config))
                self._watch.look(running)
            load = Load(self._stage.nginx.url, self._plan.arrivals, model=MODEL)
            thread = stack.enter_context(in_background(load))
            while thread.is_alive() and self._clock.now_s < deadline_s:
                self._follow(router, load, running)
            cut = thread.is_alive()
            reloads = running.reloads() if running else 0
        if cut:
            self._tell("out of time: what is still open is cut and counts as failed")
        turn = Turn(router, len(self._plan.arrivals), tuple(load.outcomes), reloads)
        self._show(router, load)
        self._tell(
            f"{router.spoken}: {len(load.outcomes)} requests ended after {load.elapsed_s:.0f} s"
        )
        return turn

    def _follow(self, router: Router, load: Load, running: RunningController | None) -> None:
        """One step: throttle when it is time, look, show."""
        if not self._watch.throttled and load.elapsed_s >= self._plan.sending_s / 2:
            self._stage.throttle()
            self._watch.throttled = True
            speeds = f"{SPEEDS[THROTTLED]:g} to {THROTTLED_SPEED:g}"
            self._tell(f"throttle {THROTTLED}: its speed falls from {speeds}")
        check_alive([*self._stage.children(), *([running.process] if running else [])])
        if change := self._watch.look(running):
            self._tell(change.text, change.reasons)
        self._show(router, load)
        time.sleep(STEP_S)

    def _pause(self, router: Router, seconds: float) -> None:
        """Let the last turn leave the window of the rates, so that the controller starts cold."""
        self._tell(f"controller: starts in {seconds:g} s, to learn nothing from the turn before")
        end_s = self._clock.now_s + seconds
        while self._clock.now_s < end_s:
            check_alive(self._stage.children())
            self._watch.look(None)
            self._show(router, None)
            time.sleep(STEP_S)

    def _show(self, router: Router, load: Load | None) -> None:
        if load is not None:
            outcomes = list(load.outcomes)
            failed = sum(outcome.error is not None for outcome in outcomes)
            self._progress[router] = Progress(
                router, len(self._plan.arrivals), load.sent, len(outcomes), failed
            )
        p50_s, p99_s = recent_ttft(load)
        backends = self._watch.backends(router, load)
        progress = list(self._progress.values())
        self._reporter.show(View(self._clock.now_s, router, progress, backends, p50_s, p99_s))

    def _tell(self, text: str, details: Sequence[str] = ()) -> None:
        self._reporter.tell(self._clock.now_s, text, details)


def configuration(stage: Stage, settings: Settings, plan: Plan, directory: Path) -> dict[str, Any]:
    """The controller's configuration; where it listens is left out."""
    cadence = plan.cadence
    pool = {
        "name": POOL,
        "selector": SELECTOR,
        "rate_window": f"{cadence.rate_window:g}s",
        "backends": [{"address": address} for address in stage.addresses],
        "policy": _policy(settings.policy),
    }
    return {
        "prometheus": {"url": stage.prometheus.url},
        "pools": [pool],
        "control": {
            "interval": f"{cadence.interval:g}s",
            "min_interval": f"{cadence.min_interval:g}s",
            "fast_interval": f"{cadence.interval:g}s",
        },
        "nginx": local_nginx(stage.nginx),
        "state": {"file": str(directory / "state.json")},
    }


def _policy(name: str) -> dict[str, object]:
    """The policy, told what its user knows: these engines run few sequences at once."""
    told = {"max_num_seqs": LAB.max_num_seqs} if name == Capacity.name else {}
    return {"name": name, **told}
