"""The metrics that describe the last tick.

They are read off its record when Prometheus scrapes, so they cost the tick nothing, and label sets
of departed backends vanish by themselves.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controller.app.loop import Result, TickRecord
from controller.core.model import Observation, PoolSnapshot, Signal
from controller.core.policy import Carries
from controller.core.reasons import BackendReason
from controller.core.stabilise import CHANGES

# What is shown of the signals: the rest is in Prometheus already, and cardinality has a price.
_SHOWN = (Signal.RUNNING, Signal.WAITING, Signal.KV_USAGE)


@dataclass(frozen=True, slots=True)
class PoolInfo:
    """What is fixed about a pool, for a person."""

    name: str
    engine: str
    policy: str


@dataclass(slots=True)
class _PoolPast:
    """What is told of a pool while a blind tick says nothing of it.

    Attributes:
        instances: The instance label by backend.
        carries: What was learned by backend.
        changed_s: When Nginx last confirmed a change; None when unknown.
    """

    instances: Mapping[str, str] = field(default_factory=dict)
    carries: Mapping[str, Carries] = field(default_factory=dict)
    changed_s: float | None = None


class LastTick(Collector):
    """Gauges read off the record of the last tick."""

    def __init__(self, version: str, pools: Sequence[PoolInfo]) -> None:
        self._tick: TickRecord | None = None
        self._past: dict[str, _PoolPast] = {}
        self._observed_s: float | None = None
        self._version = version
        self._pools = pools

    def see(self, tick: TickRecord) -> None:
        """Describe this tick from now on."""
        applied = tick.memory.applied
        # After a restart, the file that is served is as old as its confirmation.
        confirmed_s = applied.at_s if applied else None
        for name, pool in tick.decision.pools.items():
            past = self._past.setdefault(name, _PoolPast(changed_s=confirmed_s))
            seen = {a: o.instance for a, o in _observations(tick, name) if o.instance}
            known = {**past.instances, **seen}
            past.instances = {a: known[a] for a in pool.target.reasons if a in known}
            if pool.blind is None:
                past.carries = pool.carries
            if tick.result == Result.CONFIRMED and pool.reason in CHANGES:
                past.changed_s = confirmed_s
        if tick.snapshot.error is None:
            self._observed_s = tick.snapshot.at_s
        # Last: whoever scrapes meanwhile, in another thread, finds the past of all its pools.
        self._tick = tick

    def describe(self) -> Iterable[Metric]:
        """Nothing at registration: the first tick has not run."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The gauges of the last tick."""
        build = _gauge("build_info", "The version that runs.", "version")
        build.add_metric([self._version], 1)
        yield build
        info = _gauge("pool_info", "Engine and policy of a pool.", "pool", "engine", "policy")
        for pool in self._pools:
            info.add_metric([pool.name, pool.engine, pool.policy], 1)
        yield info
        if self._tick is None:
            return
        yield from _generations(self._tick)
        yield from _workers(self._tick)
        yield from _times(self._tick, self._observed_s)
        yield from _pools(self._tick, self._past)
        yield from _backends(self._tick)
        yield from _learned(self._tick, self._past)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"vllm_nginx_lb_{name}", text, labels=labels)


def _generations(tick: TickRecord) -> Iterator[Metric]:
    info = _gauge("generation_info", "Generations of the upstream file.", "kind", "generation")
    applied = tick.memory.applied
    kinds = {
        "desired": tick.decision.rendered.generation,
        "applied": applied.generation if applied else None,
        "served": tick.served,
    }
    for kind, generation in kinds.items():
        if generation is not None:
            info.add_metric([kind, generation], 1)
    yield info
    synced = _gauge("in_sync", "1 when Nginx serves the generation that was confirmed last.")
    synced.add_metric([], float(kinds["applied"] is not None and kinds["applied"] == tick.served))
    yield synced


def _workers(tick: TickRecord) -> Iterator[Metric]:
    counts = {
        "lingering_workers": (tick.nginx.lingering_workers, "Old workers that finish streams."),
        "live_workers": (tick.nginx.live_workers, "Workers that accept connections."),
    }
    for name, (count, text) in counts.items():
        if count is not None:
            gauge = _gauge(f"nginx_{name}", text)
            gauge.add_metric([], count)
            yield gauge


def _times(tick: TickRecord, observed_s: float | None) -> Iterator[Metric]:
    last = _gauge("last_tick_timestamp_seconds", "When the last tick ended.")
    last.add_metric([], tick.snapshot.at_s + tick.duration_s)
    yield last
    if observed_s is not None:
        observed = _gauge("last_observed_timestamp_seconds", "When Prometheus answered last.")
        observed.add_metric([], observed_s)
        yield observed
    applied = tick.memory.applied
    if applied is not None and applied.at_s is not None:
        confirmed = _gauge("last_confirmed_timestamp_seconds", "When Nginx confirmed a file last.")
        confirmed.add_metric([], applied.at_s)
        yield confirmed


def _pools(tick: TickRecord, past: Mapping[str, _PoolPast]) -> Iterator[Metric]:
    blind = _gauge(
        "pool_blind", "1 while a pool's snapshot is not fit to act on, by reason.", "pool", "reason"
    )
    counts = _gauge(
        "backends", "Backends of a pool by the reason for their line.", "pool", "reason"
    )
    panic = _gauge("pool_panic", "1 while ill backends serve because too many are ill.", "pool")
    neutral = _gauge(
        "pool_neutral", "1 while a pool is blind for so long that it has neutral weights.", "pool"
    )
    ignored = _gauge(
        "pool_ignored_instances", "Instances that match the selector and are no backend.", "pool"
    )
    changed = _gauge(
        "pool_changed_timestamp_seconds", "When Nginx last confirmed a change of the pool.", "pool"
    )
    for name, pool in tick.decision.pools.items():
        blind.add_metric([name, pool.blind or "none"], float(pool.blind is not None))
        reasons = Tally(why for why, _ in pool.target.reasons.values())
        for reason, count in sorted(reasons.items()):
            counts.add_metric([name, reason], count)
        panic.add_metric([name], float(reasons[BackendReason.PANIC] > 0))
        neutral.add_metric([name], float(reasons[BackendReason.NEUTRAL] > 0))
        ignored.add_metric([name], len(tick.snapshot.pools.get(name, PoolSnapshot()).unmapped))
        changed_s = past[name].changed_s
        if changed_s is not None:
            changed.add_metric([name], changed_s)
    yield from (blind, counts, panic, neutral, ignored, changed)


def _backends(tick: TickRecord) -> Iterator[Metric]:
    labels = ("pool", "backend")
    desired = _gauge("backend_weight_desired", "Weight wanted; 0 while taken out.", *labels)
    applied = _gauge("backend_weight_applied", "Weight that Nginx confirmed; 0 if out.", *labels)
    limit_text = "Most requests in flight that Nginx confirmed; absent without a limit."
    limit = _gauge("backend_max_conns_applied", limit_text, *labels)
    age = _gauge("backend_sample_age_seconds", "Age of the oldest sample.", *labels)
    signal = _gauge("backend_signal", "A signal as the last tick saw it.", *labels, "signal")
    known = tick.memory.applied.pools if tick.memory.applied else {}
    for name, pool in tick.decision.pools.items():
        for server in pool.target.servers:
            desired.add_metric([name, server.address], 0 if server.down else server.weight)
        for server in known.get(name, ()):
            applied.add_metric([name, server.address], 0 if server.down else server.weight)
            if server.max_conns is not None:
                limit.add_metric([name, server.address], server.max_conns)
        for address, seen in _observations(tick, name):
            if seen.age_s is not None:
                age.add_metric([name, address], seen.age_s)
            for each in _SHOWN:
                if each in seen.signals:
                    signal.add_metric([name, address, each], seen.signals[each])
    yield from (desired, applied, limit, age, signal)


def _learned(tick: TickRecord, past: Mapping[str, _PoolPast]) -> Iterator[Metric]:
    """Who a backend is, why it has its weight, and what it carries."""
    labels = ("pool", "backend")
    info = _gauge(
        "backend_info",
        "A backend's instance label in Prometheus and its address in the upstream file.",
        *labels,
        # Not "instance": a scrape would call that exported_instance, beside the controller's own.
        "engine_instance",
        "endpoint",
    )
    reason = _gauge("backend_reason_info", "Why it has the weight wanted.", *labels, "reason")
    capacity = _gauge(
        "backend_capacity_tokens_per_second",
        "Tokens per second that it generates with all slots taken, as learned.",
        *labels,
    )
    slots = _gauge("backend_slots", "Sequences that it runs at once, as learned.", *labels)
    for name, pool in tick.decision.pools.items():
        for address, (why, _) in pool.target.reasons.items():
            instance = past[name].instances.get(address, "")
            endpoint = tick.decision.endpoints.get(address, address)
            info.add_metric([name, address, instance, endpoint], 1)
            reason.add_metric([name, address, why], 1)
            carried = past[name].carries.get(address)
            if carried is not None:
                capacity.add_metric([name, address], carried.tokens_per_s)
                if carried.slots is not None:
                    slots.add_metric([name, address], carried.slots)
    yield from (info, reason, capacity, slots)


def _observations(tick: TickRecord, pool: str) -> Iterable[tuple[str, Observation]]:
    return tick.snapshot.pools.get(pool, PoolSnapshot()).observations.items()
