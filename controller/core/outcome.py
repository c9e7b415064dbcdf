"""What an apply did to the memory: confirmed, refused, or adopted at start."""

from dataclasses import replace

from controller.core.decide import Decision
from controller.core.errors import ActuationError, ActuationFault
from controller.core.memory import Applied, Memory, Quarantine, Unconfirmed
from controller.core.model import NginxView
from controller.core.render import parse
from controller.core.settings import Limits


def confirmed(memory: Memory, decision: Decision, at_s: float) -> Memory:
    """Nginx serves the decision's file: it becomes what everything is compared with."""
    pools = {name: pool.target.servers for name, pool in decision.pools.items()}
    endpoints = {
        server.address: decision.endpoints[server.address]
        for servers in pools.values()
        for server in servers
        if server.address in decision.endpoints
    }
    applied = Applied(decision.rendered.generation, at_s, pools, endpoints)
    return replace(memory, applied=applied, quarantine=None, unconfirmed=None)


def failed(
    memory: Memory, decision: Decision, error: ActuationError, at_s: float, limits: Limits
) -> Memory:
    """The file is not live.

    One that Nginx refused is quarantined. One that it was told of but did not confirm has cost a
    reload, so the next tries come ever later. All else is tried again at the next tick.
    """
    if error.fault == ActuationFault.UNCONFIRMED:
        failures = memory.unconfirmed.failures if memory.unconfirmed else 0
        return replace(memory, unconfirmed=Unconfirmed(at_s, failures + 1))
    if error.fault != ActuationFault.REJECTED:
        return memory
    generation, before = decision.rendered.generation, memory.quarantine
    again = before is not None and before.generation == generation
    hold_s = limits.quarantine_s
    if again and before is not None:
        hold_s = min(2 * before.hold_s, limits.quarantine_max_s)
    quarantine = Quarantine(generation, at_s + hold_s, hold_s, str(error))
    return replace(memory, quarantine=quarantine)


def adopted(memory: Memory, nginx: NginxView, text: str | None) -> Memory:
    """Take over what Nginx serves at start, so that a restart needs no reload.

    Args:
        memory: The restored memory, or an empty one.
        nginx: What Nginx says of itself.
        text: The upstream file on disk; None when there is none.
    """
    if nginx.generation is None:
        return memory
    if memory.applied is not None and memory.applied.generation == nginx.generation:
        return memory
    found = parse(text) if text is not None else None
    if found is None or found.generation != nginx.generation:
        # Served and file differ, or the file is somebody else's: everything is to be applied.
        return replace(memory, applied=None)
    return replace(memory, applied=Applied(found.generation, None, found.pools, found.endpoints))
