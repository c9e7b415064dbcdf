"""The status of the controller as plain values, for the HTTP interface and the commands."""

from typing import Any

from controller.app.loop import TickRecord
from controller.core.decide import PoolDecision
from controller.core.model import Observation, PoolSnapshot, Server

_UNSEEN = Observation()


def status(tick: TickRecord) -> dict[str, Any]:
    """Describe the last tick; every weight stands beside its reason.

    Returns:
        A mapping of JSON values: times in Unix seconds, ages in seconds, weights 1..100.
    """
    decision, applied = tick.decision, tick.memory.applied
    error = tick.snapshot.error
    return {
        "at": tick.snapshot.at_s,
        "duration_s": round(tick.duration_s, 4),
        "result": tick.result,
        "reason": decision.reason,
        "detail": decision.detail,
        "error": str(tick.error) if tick.error else None,
        "generation": {
            "desired": decision.rendered.generation,
            "applied": applied.generation if applied else None,
            "served": tick.served,
        },
        "applied_at": applied.at_s if applied else None,
        "nginx": {
            "lingering_workers": tick.nginx.lingering_workers,
            "live_workers": tick.nginx.live_workers,
            "detail": tick.nginx.detail,
        },
        "prometheus": {
            "error": str(error) if error else None,
            "fault": error.fault if error else None,
            "warnings": list(tick.snapshot.warnings),
        },
        "pools": [_pool(tick, pool) for _, pool in sorted(decision.pools.items())],
    }


def _pool(tick: TickRecord, pool: PoolDecision) -> dict[str, Any]:
    seen = tick.snapshot.pools.get(pool.name, PoolSnapshot())
    known = tick.memory.applied.pools.get(pool.name, ()) if tick.memory.applied else ()
    applied = {server.address: server for server in known}
    wanted = {server.address: server for server in pool.target.servers}
    return {
        "name": pool.name,
        "reason": pool.reason,
        "detail": pool.detail,
        "blind": pool.blind,
        "blind_detail": pool.blind_detail,
        "usable": pool.usable,
        "unmapped": list(seen.unmapped),
        "backends": [
            _backend(
                address,
                why,
                wanted.get(address),
                applied.get(address),
                seen.observations.get(address, _UNSEEN),
            )
            for address, why in sorted(pool.target.reasons.items())
        ],
    }


def _backend(
    address: str,
    why: tuple[str, str],
    wanted: Server | None,
    applied: Server | None,
    seen: Observation,
) -> dict[str, Any]:
    return {
        "address": address,
        "weight_desired": wanted.weight if wanted else None,
        "weight_applied": applied.weight if applied else None,
        "down_desired": wanted.down if wanted else None,
        "down_applied": applied.down if applied else None,
        "max_conns_desired": wanted.max_conns if wanted else None,
        "max_conns_applied": applied.max_conns if applied else None,
        "reason": why[0],
        "detail": why[1],
        "up": seen.up,
        "age_s": None if seen.age_s is None else round(seen.age_s, 1),
        "signals": dict(sorted(seen.signals.items())),
        "faults": dict(sorted(seen.faults.items())),
    }
