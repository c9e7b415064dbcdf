"""Settings of the pure parts, each with its unit and why its default is what it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from controller.core.policy import Policy
from controller.core.render import UpstreamOptions


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """When a backend is ejected for cause.

    Attributes:
        enabled: Whether backends are ejected at all.
        strikes: Consecutive ticks with the same symptom before an ejection: one scrape that
            falls between two steps of an engine must not cost a reload.
        failing_rate: Server errors per second below which a backend is never called failing.
        hold_s: First time out; long enough that a return is worth a reload.
        hold_max_s: Longest time out after relapses.
        expiry_s: How long an ejection lasts when nothing is known of the backend any more.
    """

    enabled: bool = True
    strikes: int = 2
    failing_rate: float = 0.2
    hold_s: float = 60.0
    hold_max_s: float = 600.0
    expiry_s: float = 60.0


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """One pool as the configuration wants it.

    Attributes:
        name: The name of the upstream.
        policy: The policy with its parameters.
        backends: Their addresses; None when they are discovered from what Prometheus scrapes.
        drained: Addresses taken out on request.
        options: What stands in the upstream beside its servers.
        health: When backends are ejected.
        min_coverage: Share of backends with usable signals below which the pool counts as unseen.
        replicas: Number of Nginx instances in front of it, each with a controller of its own.
    """

    name: str
    policy: Policy
    backends: Sequence[str] | None
    drained: frozenset[str] = frozenset()
    options: UpstreamOptions = field(default_factory=UpstreamOptions)
    health: HealthSettings = field(default_factory=HealthSettings)
    min_coverage: float = 0.5
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """How calm the controller is.

    Attributes:
        dead_band: Smallest relative change of a weight that is worth a reload; 0.5 means a factor
            of 1.5 either way. 50..100 % gave the best tail latency at 2-3 reloads in 15 minutes.
        min_interval_s: Least time between reloads that only change weights: a reload makes Nginx
            forget its requests in flight, so this should exceed a typical stream.
        fast_interval_s: Least time between any two reloads, ejections and returns included.
        panic_threshold: Least share of a pool that serves; if ejections would leave fewer, health
            is ignored.
        max_old_generations: Weight-only reloads wait while lingering workers exceed this many
            times the live workers, and all reloads at twice as many.
        blind_hold_s: How long the last weights are held blindly before the neutral ones.
        forget_after_s: How long a discovered backend may be absent before it leaves the pool.
        quarantine_s: First time a refused file is not tried again; doubles up to the maximum.
        quarantine_max_s: That maximum.
    """

    dead_band: float = 0.5
    min_interval_s: float = 60.0
    fast_interval_s: float = 10.0
    panic_threshold: float = 0.5
    max_old_generations: int = 4
    blind_hold_s: float = 600.0
    forget_after_s: float = 30.0
    quarantine_s: float = 60.0
    quarantine_max_s: float = 600.0
