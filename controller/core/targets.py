"""The pool as it would be if reloads were free: weights, ejections, and a reason per backend."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from statistics import median

from controller.core.gate import Verdict
from controller.core.memory import HealthMemory, PoolMemory
from controller.core.model import Server, Signal
from controller.core.policy import WEIGHT_MAX, Targets
from controller.core.reasons import BackendReason
from controller.core.render import WhenFull
from controller.core.settings import Limits, PoolSpec

Why = tuple[BackendReason, str]


@dataclass(frozen=True, slots=True)
class PoolTarget:
    """What a pool should be.

    Attributes:
        servers: Server lines, sorted; without backends whose name does not resolve.
        reasons: For every member: the reason for its line, and a sentence for a person.
        counted: Members whose `max_conns` is a count rather than an estimate.
    """

    servers: tuple[Server, ...]
    reasons: Mapping[str, tuple[BackendReason, str]]
    counted: frozenset[str]


@dataclass(frozen=True, slots=True)
class PoolCase:
    """All that the wanted pool follows from.

    Attributes:
        spec: The pool's settings.
        limits: How calm to be.
        members: The backends of the pool now.
        unresolved: Members whose name has no address.
        verdict: What the gate said.
        targets: What the policy wants for the usable backends; None when the pool is blind.
        memory: The pool's memory, this tick included.
        applied: The servers that Nginx confirmed; None when unknown.
        now_s: Unix time.
    """

    spec: PoolSpec
    limits: Limits
    members: Sequence[str]
    unresolved: frozenset[str]
    verdict: Verdict
    targets: Targets | None
    memory: PoolMemory
    applied: Sequence[Server] | None
    now_s: float

    @property
    def sheds(self) -> bool:
        """Whether requests are turned away beyond the limits."""
        return self.spec.options.when_full is WhenFull.SHED


def target(case: PoolCase) -> PoolTarget:
    """Work out the pool that is wanted."""
    blind_since_s = case.memory.blind_since_s
    if case.targets is not None:
        lines, reasons = _from_policy(case, case.targets)
    elif blind_since_s is not None and case.now_s - blind_since_s > case.limits.blind_hold_s:
        lines, reasons = _neutral(case, case.now_s - blind_since_s)
    else:
        lines, reasons = _held(case)
    for member in case.unresolved:
        del lines[member]
        reasons[member] = (BackendReason.UNRESOLVED, "its name has no address now")
    _take_out(case, lines, reasons)
    # What is shed at is an estimate, whatever the slots are.
    counted = case.targets.counted if case.targets and not case.sheds else frozenset()
    return PoolTarget(tuple(lines[member] for member in sorted(lines)), reasons, counted)


def _from_policy(case: PoolCase, targets: Targets) -> tuple[dict[str, Server], dict[str, Why]]:
    lines: dict[str, Server] = {}
    reasons: dict[str, Why] = {}
    remembered, verdict = case.memory.weights, case.verdict
    limits = _limits(case, targets)
    served = {server.address: server for server in case.applied or ()}
    newcomer = median(remembered.values()) if remembered else WEIGHT_MAX
    for member in case.members:
        weight, limit = targets.weights.get(member), limits.get(member)
        if weight is not None:
            if member in targets.unknown and member in served:
                # Weights that were good before a restart are better than no opinion.
                weight, limit = served[member].weight, served[member].max_conns
            detail = targets.details.get(member, "")
            if limit is not None and member in targets.tried and not case.sheds:
                detail = f"{detail}, tried with {limit} at once until more are seen to run"
            reasons[member] = (BackendReason.POLICY, detail)
        elif member in remembered:
            weight = remembered[member]
            limit = served[member].max_conns if member in served else None
            reasons[member] = verdict.held[member]
        else:
            weight = newcomer
            if limits and case.sheds:
                # Without a limit it would be sent, cold, all that the others turn away.
                limit = round(median(limits.values()))
            reasons[member] = (BackendReason.UNSEEN, verdict.held[member][1])
        lines[member] = Server(member, _whole(weight), max_conns=limit)
    _enter_low(case, lines, reasons)
    return lines, reasons


def _limits(case: PoolCase, targets: Targets) -> dict[str, int]:
    """The `max_conns` of one Nginx, which counts only what it sends itself.

    Rounded up, and at least 1: where there are more Nginx than slots, together they let too many
    in rather than none.
    """
    wanted: Mapping[str, int] = {}
    match case.spec.options.when_full:
        case WhenFull.SHED:
            # Less than all slots where those would not keep the latency objective.
            wanted = {**targets.max_conns, **targets.admitted}
        case WhenFull.SPILL if len(case.members) > 1:
            # A server alone has nowhere to spill to, and Nginx never gives up an upstream of one.
            wanted = targets.max_conns
    return {member: max(1, -(-slots // case.spec.replicas)) for member, slots in wanted.items()}


def _enter_low(case: PoolCase, lines: dict[str, Server], reasons: dict[str, Why]) -> None:
    """Let new and returned backends in at the pool's median at most.

    They are empty, so nearly every policy takes them for the best of the pool, and a cold or half
    recovered engine would be flooded. What they carry shows by the next change of weights.
    """
    entering = _entering(case)
    settled = [line.weight for member, line in lines.items() if member not in entering]
    if not settled:
        return
    ceiling = _whole(median(settled))
    for member in entering & lines.keys():
        if lines[member].weight > ceiling:
            text = f"new or back: at most the pool's median; {reasons[member][1]}"
            lines[member] = replace(lines[member], weight=ceiling)
            reasons[member] = (BackendReason.ENTERING, text.rstrip("; "))


def _entering(case: PoolCase) -> set[str]:
    entering = {
        member
        for member, record in case.memory.health.items()
        if record.ejected is None
        and record.returned_s > 0
        and case.now_s - record.returned_s < case.limits.min_interval_s
    }
    if case.applied:
        entering |= set(case.members) - {server.address for server in case.applied}
    return entering


def _neutral(case: PoolCase, blind_s: float) -> tuple[dict[str, Server], dict[str, Why]]:
    weights = case.spec.policy.neutral(case.members, case.memory.policy)
    why = (BackendReason.NEUTRAL, f"blind for {blind_s:.0f} s: the learned neutral weight")
    limits = {server.address: server.max_conns for server in case.applied or ()}
    lines = {
        member: Server(member, _whole(weights[member]), max_conns=limits.get(member))
        for member in case.members
    }
    return lines, dict.fromkeys(case.members, why)


def _held(case: PoolCase) -> tuple[dict[str, Server], dict[str, Why]]:
    known = {server.address: server for server in case.applied or ()}
    weights = case.memory.weights or case.spec.policy.neutral(case.members, case.memory.policy)
    newcomer = median([*(s.weight for s in known.values())] or [*weights.values()] or [WEIGHT_MAX])
    lines = {
        member: known.get(member) or Server(member, _whole(weights.get(member, newcomer)))
        for member in case.members
    }
    why = (BackendReason.HELD_BLIND, case.verdict.detail)
    return lines, {member: case.verdict.held.get(member, why) for member in case.members}


def _whole(weight: float) -> int:
    return max(1, min(int(WEIGHT_MAX), round(weight)))


def _take_out(case: PoolCase, lines: dict[str, Server], reasons: dict[str, Why]) -> None:
    """Mark drained and ejected backends, within the panic threshold."""
    drained = case.spec.drained & lines.keys()
    ill = _ill(case, lines, reasons, drained)
    serving = len(lines) - len(drained)
    if _too_few(serving - len(ill), serving, case.limits):
        # Whoever is only sitting out a hold is let back in before ill ones have to serve.
        ill = {member: why for member, why in ill.items() if _is_acute(case, member)}
    panic = _too_few(serving - len(ill), serving, case.limits)
    applied = {server.address: server for server in case.applied or ()}
    for member, why in ill.items():
        # The rest of a line that is out means nothing; a change of it must not make a new file.
        line = lines[member] if panic else applied.get(member, lines[member])
        lines[member] = replace(line, down=not panic)
        text = f"{why[0]}, but {len(ill)} of {serving} are ill"
        reasons[member] = (BackendReason.PANIC, text) if panic else why
    for member in drained:
        lines[member] = replace(lines[member], down=serving > 0)
        reasons[member] = (
            (BackendReason.DRAINED, "taken out on request")
            if serving
            else (BackendReason.PANIC, "drained, but no other backend would be left")
        )


def _too_few(healthy: int, serving: int, limits: Limits) -> bool:
    return healthy == 0 or healthy / serving < limits.panic_threshold


def _is_acute(case: PoolCase, member: str) -> bool:
    record = case.memory.health.get(member)
    return record is None or record.symptom is not None


def _ill(
    case: PoolCase,
    lines: Mapping[str, Server],
    reasons: Mapping[str, Why],
    drained: AbstractSet[str],
) -> dict[str, Why]:
    out = {server.address for server in case.applied or () if server.down}
    ill: dict[str, Why] = {}
    for member in lines.keys() - drained:
        record = case.memory.health.get(member)
        if case.targets is None:
            # Whoever was out stays out while nothing is known, until the neutral weights.
            if lines[member].down:
                ill[member] = reasons[member]
        elif (
            record is not None
            and record.ejected is not None
            # A hold that was spent serving, in panic, must not begin once the symptom is gone.
            and (record.symptom is not None or member in out)
        ):
            ill[member] = (record.ejected, _evidence(record, case, member))
    return ill


def _evidence(record: HealthMemory, case: PoolCase, member: str) -> str:
    signals = case.verdict.signals.get(member, {})
    shown = {
        BackendReason.EJECTED_STALLED: (Signal.RUNNING, Signal.WAITING, Signal.PROGRESS_RATE),
        BackendReason.EJECTED_FAILING: (Signal.FAILED_RATE, Signal.FINISHED_RATE),
    }
    seen = [
        f"{name} {signals[name]:.3g}"
        for name in shown.get(record.ejected or BackendReason.PANIC, ())
        if name in signals
    ]
    left_s = record.until_s - case.now_s
    if record.symptom is None:
        seen = [f"well again; back in {left_s:.0f} s"]
    elif left_s > 0:
        seen.append(f"out for {left_s:.0f} s more at least")
    else:
        seen.append("out until it is well")
    return ", ".join(seen)
