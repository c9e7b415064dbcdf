"""The controller's tick at one Nginx of the fleet: the shipped functions, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.core.decide import Action, Decision, Situation, decide
from controller.core.memory import Applied
from controller.core.model import NginxView, Server
from controller.core.outcome import confirmed
from controller.core.render import Upstream, render
from simulator.fleet.layout import EPOCHS
from simulator.fleet.prometheus import observe
from simulator.fleet.worlds import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.core.memory import Memory
    from simulator.fleet.layout import World
    from simulator.fleet.routers import Controlled


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick: when, at which Nginx, and what was decided."""

    at_s: float
    replica: int
    decision: Decision


class Controller:
    """The controller of one Nginx: its memory, and what it has done."""

    def __init__(self, router: Controlled, addresses: Sequence[str], replica: int) -> None:
        self._router = router
        # The shipped tick gives each Nginx its part of a server's slots.
        self._spec = replace(router.spec, replicas=router.nginx.replicas)
        self._addresses = tuple(addresses)
        self._replica = replica
        self.memory: Memory = router.memory
        self.ticks: list[Tick] = []

    def start(self, known: Sequence[bool]) -> list[Line | None]:
        """Adopt what Nginx serves at the start: what was remembered, or equal weights."""
        name, backends = self._spec.name, self._spec.backends
        if self.memory.applied is None or name not in self.memory.applied.pools:
            servers = tuple(
                Server(address)
                for address, here in zip(self._addresses, known, strict=True)
                if (here if backends is None else address in backends)
            )
            generation = render([Upstream(name, servers, self._spec.options)]).generation
            self.memory = replace(self.memory, applied=Applied(generation, None, {name: servers}))
        applied = self.memory.applied
        return lines_of(applied.pools[name] if applied else (), self._addresses)

    def tick(self, world: World) -> list[Line | None] | None:
        """Decide; return the upstream that is to be pushed, None when nothing is."""
        router = self._router
        now_s = float(world.clock[0]["now"])
        snapshot = observe(
            world,
            self._addresses,
            pool=router.spec.name,
            window_s=router.window_s,
            epoch_s=router.epoch_s,
        )
        situation = Situation(
            (self._spec,), router.limits, snapshot, self.memory, self._view(world), {}
        )
        decision, self.memory = decide(situation)
        self.ticks.append(Tick(now_s, self._replica, decision))
        if decision.action != Action.APPLY:
            return None
        # Nothing else happens to the memory before the confirmation: ticks are further apart.
        at_s = router.epoch_s + now_s + router.confirm_s
        self.memory = confirmed(self.memory, decision, at_s)
        return lines_of(decision.pools[router.spec.name].target.servers, self._addresses)

    def _view(self, world: World) -> NginxView:
        """What Nginx says of itself: a worker of old lives while it has a stream."""
        workers = self._router.nginx.workers
        streams = world.old_streams[self._replica]
        lingering = 0
        for epoch in streams.nonzero()[0].tolist():
            if epoch != world.reloads[self._replica] % EPOCHS:
                lingering += min(workers, int(streams[epoch]))
        applied = self.memory.applied
        generation = applied.generation if applied is not None else None
        return NginxView(generation, lingering, workers)


def lines_of(servers: Sequence[Server], addresses: Sequence[str]) -> list[Line | None]:
    """The server lines of a decision, in the order of the pool."""
    found = {server.address: server for server in servers}
    return [
        Line(found[address].weight, found[address].down, found[address].max_conns)
        if address in found
        else None
        for address in addresses
    ]
