"""The decision of a tick: gate, policy, health, panic threshold, stabiliser, upstream file.

A pure function of the snapshot, the memory and what Nginx says of itself, so that a tick can be
replayed exactly: in a simulator, in a backtest, after a restart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.core.address import is_ip, split_address
from controller.core.gate import Verdict, judge
from controller.core.health import examine
from controller.core.memory import Memory, PoolMemory
from controller.core.model import NginxView, Server, Snapshot
from controller.core.policy import Carries, Targets
from controller.core.reasons import PoolReason
from controller.core.render import Rendered, Upstream, WhenFull, render
from controller.core.settings import Limits, PoolSpec
from controller.core.stabilise import CHANGES, difference, postponed, retry_after_s
from controller.core.targets import PoolCase, PoolTarget, target


class Action(StrEnum):
    """What a tick does."""

    APPLY = "apply"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class PoolDecision:
    """What a tick decided for one pool.

    Attributes:
        name: The pool.
        reason: Why it wants to be written anew, or why not.
        detail: The same for a person.
        target: What the pool would be if reloads were free, with a reason per backend.
        usable: Number of backends with usable signals.
        blind: Why the pool's snapshot is not fit to act on; None when it is.
        blind_detail: The same for a person.
        carries: What the policy has learned that backends carry; empty while the pool is blind.
    """

    name: str
    reason: PoolReason
    detail: str
    target: PoolTarget
    usable: int
    blind: PoolReason | None
    blind_detail: str
    carries: Mapping[str, Carries]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a tick does, and why.

    Attributes:
        at_s: Unix time of the snapshot.
        action: Whether the file is applied.
        reason: The reason that settled it.
        detail: The same for a person.
        pools: The decision per pool, by name.
        rendered: The file that should be served after this tick.
        endpoints: The `ip:port` behind each name in it.
    """

    at_s: float
    action: Action
    reason: PoolReason
    detail: str
    pools: Mapping[str, PoolDecision]
    rendered: Rendered
    endpoints: Mapping[str, str]


def members_of(spec: PoolSpec, snapshot: Snapshot, memory: Memory, limits: Limits) -> list[str]:
    """The backends of a pool now: configured, or scraped lately."""
    if spec.backends is not None:
        return sorted(spec.backends)
    seen = _seen(spec, snapshot, memory)
    return sorted(
        address
        for address, seen_s in seen.items()
        if snapshot.at_s - seen_s <= limits.forget_after_s
    )


def _seen(spec: PoolSpec, snapshot: Snapshot, memory: Memory) -> dict[str, float]:
    """When each discovered backend was last in Prometheus, not counting times of blindness."""
    at_s = snapshot.at_s
    known = memory.pools.get(spec.name, PoolMemory()).seen_s
    if not known and memory.applied is not None:
        # After a restart without memory, whoever Nginx serves was there until now.
        servers = memory.applied.pools.get(spec.name, ())
        known = dict.fromkeys((server.address for server in servers), at_s)
    pool = snapshot.pools.get(spec.name)
    if snapshot.error is not None or snapshot.warnings or pool is None or not pool.observations:
        # No answer, a partial one, or one that shows nobody says of nobody that he is gone.
        return dict.fromkeys(known, at_s)
    # A clock that was set back must not keep somebody until it has caught up.
    before = {address: min(seen_s, at_s) for address, seen_s in known.items()}
    return before | dict.fromkeys(pool.observations, at_s)


def names_of(addresses: Iterable[str]) -> list[str]:
    """The addresses whose host is a name, which Nginx would have to look up."""
    return [address for address in addresses if not is_ip(split_address(address)[0])]


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision follows from.

    Attributes:
        specs: The pools; at least one.
        limits: How calm to be.
        snapshot: What Prometheus said.
        memory: What the last tick returned.
        nginx: What Nginx says of itself.
        endpoints: `ip:port` by address for every member whose host is a name that resolves.
    """

    specs: Sequence[PoolSpec]
    limits: Limits
    snapshot: Snapshot
    memory: Memory
    nginx: NginxView
    endpoints: Mapping[str, str]


def decide(now: Situation) -> tuple[Decision, Memory]:
    """Decide one tick.

    Returns:
        The decision, and the memory with what was observed. `Memory.applied` is unchanged: only a
        confirmation advances it (`controller.core.outcome`).
    """
    if now.memory.applied is not None:
        # A name that does not resolve now keeps its confirmed address: losing the name server must
        # not empty a pool.
        now = replace(now, endpoints={**now.memory.applied.endpoints, **now.endpoints})
    pools: dict[str, PoolDecision] = {}
    remembered: dict[str, PoolMemory] = {}
    for spec in now.specs:
        pools[spec.name], remembered[spec.name] = _decide_pool(spec, now)
    return _settle(now, pools), replace(now.memory, pools=remembered)


def _decide_pool(spec: PoolSpec, now: Situation) -> tuple[PoolDecision, PoolMemory]:
    members = members_of(spec, now.snapshot, now.memory, now.limits)
    verdict = judge(spec, members, now.snapshot)
    targets, after = _observe(spec, members, verdict, now)
    case = PoolCase(
        spec,
        now.limits,
        members,
        frozenset(name for name in names_of(members) if name not in now.endpoints),
        verdict,
        targets,
        after,
        _served(spec, now.memory),
        now.snapshot.at_s,
    )
    wanted = target(case)
    reason, detail = _change(case, wanted, now)
    usable, carries = len(verdict.signals), targets.carries if targets else {}
    return PoolDecision(
        spec.name, reason, detail, wanted, usable, verdict.blind, verdict.detail, carries
    ), after


def _served(spec: PoolSpec, memory: Memory) -> Sequence[Server] | None:
    """The confirmed servers, without limits that the pool no longer wants."""
    servers = memory.applied.pools.get(spec.name) if memory.applied else None
    if servers is not None and spec.options.when_full is WhenFull.IGNORE:
        return [replace(server, max_conns=None) for server in servers]
    return servers


def _observe(
    spec: PoolSpec, members: Sequence[str], verdict: Verdict, now: Situation
) -> tuple[Targets | None, PoolMemory]:
    """Let policy and health learn from a fit snapshot; a blind one teaches nothing."""
    before = now.memory.pools.get(spec.name, PoolMemory())
    at_s, present = now.snapshot.at_s, frozenset(members)
    seen: Mapping[str, float] = {}
    if spec.backends is None:
        all_seen = _seen(spec, now.snapshot, now.memory)
        seen = {member: all_seen[member] for member in members}
    if verdict.blind:
        since_s = at_s if before.blind_since_s is None else before.blind_since_s
        return None, replace(before, seen_s=seen, blind_since_s=since_s)
    targets, learned = spec.policy.step(verdict.signals, before.policy)
    weights = {a: weight for a, weight in before.weights.items() if a in present}
    weights.update({a: w for a, w in targets.weights.items() if a not in targets.unknown})
    return targets, PoolMemory(
        policy={a: numbers for a, numbers in learned.items() if a in present},
        weights=weights,
        health=examine(members, verdict.signals, before.health, at_s, spec.health),
        seen_s=seen,
    )


def _change(case: PoolCase, wanted: PoolTarget, now: Situation) -> tuple[PoolReason, str]:
    if not wanted.servers and not case.applied:
        return case.verdict.blind or PoolReason.BLIND_EMPTY, case.verdict.detail
    reason, detail = difference(wanted.servers, case.applied, now.limits, wanted.counted)
    if reason in CHANGES:
        return reason, detail
    confirmed = now.memory.applied
    if confirmed is not None and _moved(wanted.servers, now.endpoints, confirmed.endpoints):
        return PoolReason.MEMBERS, "a name has another address"
    if case.verdict.blind:
        return case.verdict.blind, case.verdict.detail
    return reason, detail


def _moved(servers: Sequence[Server], now: Mapping[str, str], before: Mapping[str, str]) -> bool:
    return bool(before) and any(
        server.address in before and before[server.address] != now.get(server.address)
        for server in servers
    )


def _settle(now: Situation, pools: Mapping[str, PoolDecision]) -> Decision:
    at_s, applied = now.snapshot.at_s, now.memory.applied
    # What stays when nothing changes: the confirmed servers under the present settings.
    kept = _file(now, applied.pools, applied.endpoints) if applied else None
    wants = {pool.reason: pool.detail for pool in pools.values() if pool.reason in CHANGES}
    if applied is not None and kept is not None and kept.generation != applied.generation:
        wants.setdefault(PoolReason.OPTIONS, "the settings of an upstream changed")
    if applied is not None and now.nginx.generation not in {None, applied.generation}:
        text = f"Nginx serves {now.nginx.generation}, confirmed was {applied.generation}"
        wants.setdefault(PoolReason.DRIFT, text)
    if kept is not None and not wants:
        # Most ticks end here, without rendering a file that nobody wants.
        return Decision(at_s, Action.HOLD, *_quiet(pools), pools, kept, now.endpoints)
    wanted = _file(now, {name: pool.target.servers for name, pool in pools.items()}, now.endpoints)
    kept = kept or wanted
    if not wants:
        return Decision(at_s, Action.HOLD, *_quiet(pools), pools, kept, now.endpoints)
    obstacle = _obstacle(frozenset(wants), wanted.generation, now)
    if obstacle is not None:
        return Decision(at_s, Action.HOLD, *obstacle, pools, kept, now.endpoints)
    first = min(wants, key=list(PoolReason).index)
    return Decision(at_s, Action.APPLY, first, wants[first], pools, wanted, now.endpoints)


def _file(
    now: Situation, servers: Mapping[str, Sequence[Server]], endpoints: Mapping[str, str]
) -> Rendered:
    return render(
        [Upstream(spec.name, servers.get(spec.name, ()), spec.options) for spec in now.specs],
        endpoints,
    )


def _obstacle(
    wants: frozenset[PoolReason], generation: str, now: Situation
) -> tuple[PoolReason, str] | None:
    at_s, memory = now.snapshot.at_s, now.memory
    if now.nginx.generation is None:
        return PoolReason.NGINX_UNREACHABLE, now.nginx.detail
    refused = memory.quarantine
    if refused is not None and refused.generation == generation and at_s < refused.until_s:
        left_s = refused.until_s - at_s
        return PoolReason.QUARANTINED, f"for {left_s:.0f} s more: {refused.detail}"
    tried = memory.unconfirmed
    if tried is not None:
        wait_s = retry_after_s(tried.failures, now.limits)
        if 0 <= at_s - tried.at_s < wait_s:
            return PoolReason.BACKOFF, (
                f"{tried.failures} reloads in a row were not confirmed; the next try is"
                f" {wait_s:g} s after the last"
            )
    reload_s = memory.applied.at_s if memory.applied else None
    since_s = None if reload_s is None else at_s - reload_s
    return postponed(wants, since_s, now.nginx, now.limits)


def _quiet(pools: Mapping[str, PoolDecision]) -> tuple[PoolReason, str]:
    """The most telling reason among pools of which none wants a change."""
    worst = max(pools.values(), key=lambda pool: list(PoolReason).index(pool.reason))
    return worst.reason, worst.detail
