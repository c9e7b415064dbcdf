"""The demo from the first line to the last."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console

from lab.demo import summary
from lab.demo.alarm import ALARM_S, Alarm
from lab.demo.lines import Lines
from lab.demo.plan import SPEEDS, THROTTLED, THROTTLED_SPEED, Plan, make_plan
from lab.demo.screen import Screen
from lab.demo.settings import Settings
from lab.demo.stage import Stage, check_alive, stage
from lab.demo.turns import Clock, Turn, Turns, configuration
from lab.demo.view import Reporter
from lab.processes import NotReadyError

# Wide enough for the summary, whatever the terminal is that is not there.
PLAIN_WIDTH = 100


def play(settings: Settings, clock: Clock, *, before_tidying: Callable[[], None]) -> None:
    """Start everything, play the turns, end everything, say what was found.

    Args:
        settings: What was asked for.
        clock: The time that there is.
        before_tidying: Called before the servers are stopped.

    Raises:
        DemoError: A program is missing, or a server ended early.
        NotReadyError: A server did not start, or did not do as told.
    """
    on_terminal = sys.stdout.isatty() and not Console().is_dumb_terminal
    console = Console() if on_terminal else Console(width=PLAIN_WIDTH, no_color=True)
    with contextlib.ExitStack() as stack:
        _say(console, "Starting four simulated vLLM backends, Prometheus and Nginx.")
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="vllm-nginx-lb-demo-"))
        )
        running = stack.enter_context(stage(directory))
        stack.callback(before_tidying)
        for_turns = Clock(clock.began_s, clock.seconds - ALARM_S)
        plan = make_plan(for_turns.seconds, for_turns.left_s)
        for sentence in _introduction(running, settings, plan):
            _say(console, sentence)
        with _reporter(console, settings, on_terminal=on_terminal) as reporter:
            try:
                turns = Turns(running, settings, plan, for_turns, reporter).play(directory)
                config = configuration(running, settings, plan, directory)
                tell = partial(_tell, reporter, clock)
                told = Alarm(running, directory / "alarm", config, tell).play()
            except (OSError, NotReadyError):
                check_alive(running.children())  # a server that died says more than who missed it
                raise
        lag_s = max(each.settings()["worst_lag_s"] for each in running.backends.values())
    _conclude(console, turns, settings, lag_s)
    _say(console, summary.notified(told))
    if not on_terminal:
        # The last line is for programs.
        print(json.dumps({**summary.as_json(turns), "notification": asdict(told)}), flush=True)


@contextlib.contextmanager
def _reporter(console: Console, settings: Settings, *, on_terminal: bool) -> Iterator[Reporter]:
    if not on_terminal:
        yield Lines()
        return
    with Screen(console, settings.seconds) as screen:
        yield screen


def _introduction(running: Stage, settings: Settings, plan: Plan) -> list[str]:
    backends = ", ".join(
        f"{name} {backend.address} speed {SPEEDS[name]:g}"
        for name, backend in running.backends.items()
    )
    cadence = plan.cadence
    return [
        f"Backends: {backends}.",
        f"Load: {len(plan.arrivals)} streaming requests in {plan.sending_s:.0f} s, the same for"
        f" each router and at the same times: {plan.load_before:.0%} of what the backends can do."
        f" Half-way {THROTTLED} falls to speed {THROTTLED_SPEED:g}; then it is"
        f" {plan.load_after:.0%} of what is left.",
        f"Controller: policy {settings.policy}, looks every {cadence.interval:g} s, changes"
        f" weights every {cadence.min_interval:g} s at most (in production 10 s and 60 s).",
    ]


def _conclude(
    console: Console, turns: Sequence[Turn], settings: Settings, worst_lag_s: float
) -> None:
    console.print()
    console.print(summary.table(turns))
    console.print()
    for sentence in summary.sentences(turns, settings.policy):
        _say(console, sentence)
    _say(console, summary.pace(turns, worst_lag_s))


def _tell(reporter: Reporter, clock: Clock, text: str, details: Sequence[str] = ()) -> None:
    reporter.tell(clock.now_s, text, details)


def _say(console: Console, sentence: str) -> None:
    # Off a terminal a line ends where its sentence does.
    console.print(sentence, highlight=False, markup=False, soft_wrap=not console.is_terminal)
