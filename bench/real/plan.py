"""Which runs there are, and in what order: every router meets every load in every repeat.

A machine wanders over an hour. So a repeat has every router once before the next repeat begins, and
each time another router goes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Router(StrEnum):
    """What stands in front of the servers."""

    ROUND_ROBIN = "round-robin"
    LEAST_CONN = "least-conn"
    LADDER = "ladder"
    CAPACITY = "capacity"
    CAPACITY_WARM = "capacity-warm"
    VLLM_ROUTER = "vllm-router"
    SGLANG_ROUTER = "sglang-router"

    @property
    def policy(self) -> str | None:
        """The policy of the controller behind it; None where there is no controller."""
        return _POLICIES.get(self)


_POLICIES = {
    Router.LADDER: "ladder",
    Router.CAPACITY: "capacity",
    Router.CAPACITY_WARM: "capacity",
}

# What a controller has to beat; round robin is there to show what is lost without any care.
RIVALS = (Router.LEAST_CONN, Router.VLLM_ROUTER, Router.SGLANG_ROUTER)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load.

    Attributes:
        percent: Of the measured capacity of all servers together.
        throttled: Whether a server is slowed half-way.
    """

    percent: int
    throttled: bool = False

    @property
    def name(self) -> str:
        """Its name in keys and results."""
        return f"{self.percent}-throttled" if self.throttled else str(self.percent)


@dataclass(frozen=True, slots=True)
class Run:
    """One router under one load, once."""

    scenario: Scenario
    router: Router
    repeat: int

    @property
    def key(self) -> str:
        """Names it in the journal."""
        return f"{self.scenario.name}/{self.router}/{self.repeat}"

    @property
    def seed(self) -> int:
        """Of the requests: the same for every router, another one in every repeat."""
        return self.repeat + 1

    @property
    def remembers(self) -> "Run | None":
        """The run whose memory the controller starts with.

        Of an undisturbed load also where a server is to be slowed: who remembers the disturbance
        itself has been told what comes.
        """
        if self.router is not Router.CAPACITY_WARM:
            return None
        return Run(Scenario(self.scenario.percent), Router.CAPACITY, self.repeat)


def scenarios(percents: Sequence[int], *, throttle: bool) -> tuple[Scenario, ...]:
    """The loads, then the lowest of them with a throttled server."""
    steady = tuple(Scenario(percent) for percent in percents)
    return (*steady, Scenario(min(percents), throttled=True)) if throttle else steady


def runs(
    loads: Sequence[Scenario],
    routers: Sequence[Router],
    repeats: int,
    throttled_repeats: int | None = None,
) -> tuple[Run, ...]:
    """All runs in their order; those with a throttled server may be repeated less often."""
    most = repeats if throttled_repeats is None else throttled_repeats
    return tuple(
        Run(scenario, router, repeat)
        for repeat in range(repeats)
        for place, scenario in enumerate(loads)
        if not scenario.throttled or repeat < most
        for router in order(routers, repeat + place)
    )


def order(routers: Sequence[Router], turn: int) -> tuple[Router, ...]:
    """The routers as they come in this turn.

    Each turn begins with the next one, and in every other turn the rest comes backwards, so that
    none always follows the same neighbour. Who needs the memory of another comes right after it.
    """
    first: list[Router] = [router for router in routers if router != Router.CAPACITY_WARM]
    start = turn % len(first)
    rest = [*first[start + 1 :], *first[:start]]
    turned = [first[start], *(reversed(rest) if turn % 2 else rest)]
    if Router.CAPACITY_WARM in routers:
        turned.insert(turned.index(Router.CAPACITY) + 1, Router.CAPACITY_WARM)
    return tuple(turned)
