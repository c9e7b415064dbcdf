"""The controller's tick at one Nginx of the fleet: the shipped functions, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.core.decide import Action, Decision, Situation, decide
from controller.core.model import NginxView
from controller.core.outcome import confirmed
from simulator.fleet.layout import EPOCHS
from simulator.fleet.prometheus import observe
from simulator.fleet.worlds import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.core.memory import Memory
    from controller.core.model import Server
    from simulator.fleet.layout import World
    from simulator.fleet.routers import Controlled

# What Nginx says it serves before the first file of the controller.
_SEED_GENERATION = "0" * 16


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
        self._addresses = tuple(addresses)
        self._replica = replica
        self.memory: Memory = router.memory
        self.ticks: list[Tick] = []

    def initial_lines(self, known: Sequence[bool]) -> list[Line | None]:
        """The upstream that Nginx serves at the start: the remembered one, or equal weights."""
        applied = self.memory.applied
        if applied is not None and self._router.spec.name in applied.pools:
            return lines_of(applied.pools[self._router.spec.name], self._addresses)
        backends = self._router.spec.backends
        return [
            Line() if (here if backends is None else address in backends) else None
            for address, here in zip(self._addresses, known, strict=True)
        ]

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
            (router.spec,), router.limits, snapshot, self.memory, self._view(world), {}
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
        generation = applied.generation if applied is not None else _SEED_GENERATION
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
