"""The routers that are compared, by name. The reference is plain `least_conn`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from controller.core.render import UpstreamOptions, WhenFull
from controller.core.settings import Limits, PoolSpec
from controller.policy.registry import REGISTRY
from simulator.fleet.routers import (
    Controlled,
    JoinShortestQueue,
    LeastConn,
    NginxSetup,
    Oracle,
    PowerOfTwo,
    QueueKvScorer,
    RoundRobin,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.core.policy import Policy
    from simulator.fleet.pool import Pool
    from simulator.fleet.routers import Router

REFERENCE: Final = "least_conn"
# The variant of `capacity` that the summaries speak of first.
HEADLINE: Final = "capacity_spill"
# As deploy/nginx configures it: a refused connection or a 500 is tried elsewhere, three tries in
# all. The other routers get the same.
_TRIES: Final = 3
_NGINX: Final = NginxSetup(tries=_TRIES, retry_500=True)


@dataclass(frozen=True, slots=True)
class Course:
    """What a router may know of a cell before it begins.

    Attributes:
        pool: the servers.
        rates: what each of them carries at most, in requests per second.
        discovered: whether servers join during the run, so that none can be configured.
    """

    pool: Pool
    rates: tuple[float, ...]
    discovered: bool = False


@dataclass(frozen=True, slots=True)
class Contender:
    """A router under a name.

    Attributes:
        name: as results call it.
        router: makes it for a cell.
        missing: why it cannot run; empty when it can.
    """

    name: str
    router: Callable[[Course], Router]
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How a controller is run; the defaults are the shipped ones.

    Attributes:
        limits: how calm it is.
        interval_s: time between ticks.
        scrape_s: Prometheus' scrape interval.
        window_s: the range of the rates.
    """

    limits: Limits = field(default_factory=Limits)
    interval_s: float = 10.0
    scrape_s: float = 5.0
    window_s: float = 30.0


def controlled(
    name: str, policy: Policy, *, when_full: str = WhenFull.IGNORE, control: Control | None = None
) -> Contender:
    """Make a contender of any policy, under the shipped tick.

    Args:
        name: as results call it.
        policy: the policy, with its parameters.
        when_full: what its limits mean: `ignore`, `spill` or `shed`.
        control: how the controller is run; None for the defaults.
    """
    control = control or Control()
    options = UpstreamOptions(when_full=WhenFull(when_full))

    def router(course: Course) -> Router:
        backends = None if course.discovered else course.pool.addresses
        return Controlled(
            spec=PoolSpec("pool", policy, backends, options=options),
            limits=control.limits,
            interval_s=control.interval_s,
            scrape_s=control.scrape_s,
            window_s=control.window_s,
            nginx=_NGINX,
        )

    return Contender(name, router)


def _shipped(name: str, policy: str, when_full: WhenFull = WhenFull.IGNORE) -> Contender:
    """A policy of the registry with its default parameters, if there is one of that name."""
    if policy not in REGISTRY:
        return Contender(name, _none, missing=f"the registry has no policy {policy!r}")
    return controlled(name, REGISTRY[policy](), when_full=when_full)


def _none(course: Course) -> Router:
    raise LookupError(f"no router for {len(course.rates)} servers")


_ALL: Final = (
    Contender("round_robin", lambda _: RoundRobin(nginx=_NGINX)),
    Contender(REFERENCE, lambda _: LeastConn(nginx=_NGINX)),
    _shipped("ladder", "ladder"),
    _shipped("equal", "equal"),
    _shipped("capacity", "capacity"),
    _shipped("capacity_spill", "capacity", WhenFull.SPILL),
    _shipped("capacity_shed", "capacity", WhenFull.SHED),
    Contender("power_of_two", lambda _: PowerOfTwo(tries=_TRIES, retry_500=True)),
    Contender("queue_kv", lambda _: QueueKvScorer(tries=_TRIES, retry_500=True)),
    Contender(
        "jsq",
        lambda course: JoinShortestQueue(capacities=course.rates, tries=_TRIES, retry_500=True),
    ),
    Contender("oracle", lambda _: Oracle(tries=_TRIES, retry_500=True)),
)
CONTENDERS: Final = {each.name: each for each in _ALL}

MEANINGS: Final = {
    "round_robin": "Nginx, equal weights in turn",
    "least_conn": "Nginx, the fewest requests in flight; the reference",
    "ladder": "the controller with the public ladder of KV-cache thresholds",
    "equal": "the controller with equal weights: least_conn and its ejections",
    "capacity": "the controller with learned capacities",
    "capacity_spill": "learned capacities, and requests beyond a server's slots spill over",
    "capacity_shed": "learned capacities, and requests beyond all limits are turned away",
    "power_of_two": "the shorter queue of two drawn servers, gauges 50 ms old",
    "queue_kv": "the best score of queue and KV cache, gauges 50 ms old",
    "jsq": "the shortest queue by true capacity, exactly counted",
    "oracle": "where the request is done first, all lengths and states known",
}
