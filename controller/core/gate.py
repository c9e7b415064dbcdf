"""Is this snapshot fit to act on? Blindness is not illness: unfit means hold, never eject."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.core.model import Observation, PoolSnapshot, SampleFault, Snapshot
from controller.core.reasons import BackendReason, PoolReason
from controller.core.settings import PoolSpec

_UNSEEN = Observation()
_HELD_FOR = {
    SampleFault.STALE: BackendReason.HELD_STALE,
    SampleFault.NAN: BackendReason.HELD_NAN,
    SampleFault.INFINITE: BackendReason.HELD_INFINITE,
    SampleFault.MALFORMED: BackendReason.HELD_MALFORMED,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What of a pool's snapshot can be used.

    Attributes:
        signals: Usable signals by backend.
        held: Why the other backends cannot be judged: a reason and a sentence.
        blind: Why the pool as a whole cannot be judged; None when it can.
        detail: The same for a person.
    """

    signals: Mapping[str, Mapping[str, float]]
    held: Mapping[str, tuple[BackendReason, str]]
    blind: PoolReason | None = None
    detail: str = ""


def judge(spec: PoolSpec, members: Sequence[str], snapshot: Snapshot) -> Verdict:
    """Sort the members of a pool into usable and held, and say whether enough are usable."""
    if snapshot.error is not None:
        return _all_held(members, PoolReason.BLIND_SOURCE, str(snapshot.error))
    if snapshot.warnings:
        return _all_held(members, PoolReason.BLIND_PARTIAL, "; ".join(snapshot.warnings))
    pool = snapshot.pools.get(spec.name, PoolSnapshot())
    signals: dict[str, Mapping[str, float]] = {}
    held: dict[str, tuple[BackendReason, str]] = {}
    needs = spec.policy.needs
    observations = pool.observations
    for address in members:
        observation = observations.get(address, _UNSEEN)
        known = observation.up or observation.signals
        if known and observation.up is not False and needs <= observation.signals.keys():
            signals[address] = observation.signals
        else:
            held[address] = _why_held(needs, observation)
    if signals and len(signals) / len(members) >= spec.min_coverage:
        return Verdict(signals, held)
    return Verdict(signals, held, *_why_blind(spec, pool, held, len(members)))


def _all_held(members: Sequence[str], reason: PoolReason, detail: str) -> Verdict:
    return Verdict({}, dict.fromkeys(members, (BackendReason.HELD_BLIND, detail)), reason, detail)


def _why_held(
    needs: frozenset[str] | frozenset[object], observation: Observation
) -> tuple[BackendReason, str]:
    if observation.up is False:
        return BackendReason.HELD_SCRAPE_FAILED, "the last scrape failed (up is 0)"
    missing = sorted(str(need) for need in needs if need not in observation.signals)
    for name in missing:
        fault = observation.faults.get(name)
        if fault is not None:
            age = f", {observation.age_s:.0f} s old" if observation.age_s is not None else ""
            return _HELD_FOR[fault], f"{name} is {fault}{age if fault == SampleFault.STALE else ''}"
    return BackendReason.HELD_MISSING, f"no sample of {', '.join(missing) or 'anything'}"


def _why_blind(
    spec: PoolSpec,
    pool: PoolSnapshot,
    held: Mapping[str, tuple[BackendReason, str]],
    members: int,
) -> tuple[PoolReason, str]:
    if pool.foreign_names:
        return PoolReason.BLIND_NAMES, (
            f"found {', '.join(pool.foreign_names)}: the scrape lost the colon of the metric names;"
            " see docs/prometheus.md"
        )
    reasons = Counter(reason for reason, _ in held.values())
    if not members or len(held) == reasons[BackendReason.HELD_MISSING] == members:
        return PoolReason.BLIND_EMPTY, "Prometheus has no usable series for any backend"
    if reasons[BackendReason.HELD_STALE] * 2 > len(held):
        reason = PoolReason.BLIND_STALE
    else:
        reason = PoolReason.BLIND_COVERAGE
    counts = ", ".join(f"{count} {name}" for name, count in sorted(reasons.items()))
    usable = members - len(held)
    return reason, (
        f"{usable} of {members} backends usable, expected {spec.min_coverage:.0%}: {counts}"
    )
