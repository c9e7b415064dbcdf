"""How much load, and how long: worked out from the engine model, not tuned by hand.

With B sequences in its batch an engine makes speed * B / step(B) tokens/s; its capacity is that
with a full batch. The rate of requests is chosen for what is left after the throttle:

    rate = LOAD_AFTER * (capacity of all, one of them throttled) / (mean answer)

Round robin gives the slowest backend a quarter of it, more than it can carry. What piles up there
while requests are sent takes `backlog` times as long again to be worked off, so the time is shared
out as 3 sendings, one backlog, and for each router a tail in which the last answers end:

    left = (3 + backlog) * sending + 3 * tail + pauses
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lab.demo.routers import Router
from lab.load import Arrival, Lengths, poisson
from simulator.presets import LAB

SPEEDS: Mapping[str, float] = {"A": 1.0, "B": 0.5, "C": 1.0, "D": 0.25}
THROTTLED = "C"
THROTTLED_SPEED = 0.25
# High enough that it matters who gets how much, low enough that a good router needs no queue.
LOAD_AFTER = 0.88
SEED = 7
PROMPT_TOKENS = (96, 160)
# In a short demo shorter answers, or it would consist of waiting for the last ones.
OUTPUT_TOKENS = (16, 64)
OUTPUT_TOKENS_SHORT = (8, 32)
SHORT_S = 90.0
# The times of the controller are scaled down from this length on, to be seen within a demo.
FULL_SCALE_S = 1200.0
# Between two routers: an empty engine is awaited, Nginx is reloaded and confirmed.
SWITCH_S = 0.5
CONTROLLER_START_S = 2.0
# For the summary, for stopping all processes, and for a machine that is not always on time.
RESERVE_S = 2.5


@dataclass(frozen=True, slots=True)
class Cadence:
    """The controller's times in seconds, under their names in the configuration."""

    interval: float
    min_interval: float
    rate_window: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The load, the same for every router, and the time for it.

    Attributes:
        arrivals: The requests.
        sending_s: How long requests are sent; half-way one backend is throttled.
        share_s: The most time each router gets, from the switch to it until its last answer.
        rate: Requests per second.
        load_before: Tokens asked for as a share of what all backends can make.
        load_after: The same after the throttle.
        cadence: The controller's times.
    """

    arrivals: tuple[Arrival, ...]
    sending_s: float
    share_s: Mapping[Router, float]
    rate: float
    load_before: float
    load_after: float
    cadence: Cadence


def capacity(speed: float) -> float:
    """Tokens/s of a backend with a full batch."""
    batch = LAB.max_num_seqs
    return speed * batch / LAB.step_s(0, batch, 0)


def make_plan(seconds: float, left_s: float) -> Plan:
    """Plan a demo of `seconds`, of which `left_s` are left after everything was started."""
    lengths = Lengths(PROMPT_TOKENS, OUTPUT_TOKENS if seconds >= SHORT_S else OUTPUT_TOKENS_SHORT)
    answer = sum(lengths.output) / 2
    all_before = sum(map(capacity, SPEEDS.values()))
    all_after = all_before - capacity(SPEEDS[THROTTLED]) + capacity(THROTTLED_SPEED)
    rate = LOAD_AFTER * all_after / answer
    slowest = min(SPEEDS.values())
    backlog = rate * answer / len(SPEEDS) / capacity(slowest) - 1
    # The longest answer, begun last, on the slowest backend.
    tail_s = lengths.output[1] * LAB.step_s(0, LAB.max_num_seqs, 0) / slowest
    cadence = _cadence(seconds)
    pauses_s = len(Router) * SWITCH_S + cadence.rate_window + CONTROLLER_START_S + RESERVE_S
    sending_s = (left_s - len(Router) * tail_s - pauses_s) / (len(Router) + backlog)
    sending_s = max(1.0, sending_s)
    own_s = SWITCH_S + sending_s + tail_s
    return Plan(
        arrivals=poisson(rate, sending_s, lengths, SEED),
        sending_s=sending_s,
        share_s={
            Router.ROUND_ROBIN: own_s + backlog * sending_s,
            Router.LEAST_CONN: own_s,
            Router.CONTROLLER: own_s + cadence.rate_window + CONTROLLER_START_S,
        },
        rate=rate,
        load_before=rate * answer / all_before,
        load_after=LOAD_AFTER,
        cadence=cadence,
    )


def _cadence(seconds: float) -> Cadence:
    scale = min(1.0, seconds / FULL_SCALE_S)
    # Not below what a Prometheus that scrapes once a second can tell.
    return Cadence(
        interval=max(2.0, 10 * scale),
        min_interval=max(3.0, 60 * scale),
        rate_window=max(5.0, 60 * scale),
    )
