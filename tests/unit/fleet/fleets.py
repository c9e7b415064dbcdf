"""Small fleets and workloads that the tests of this package share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.fleet import layout
from simulator.fleet.nginx import choose_peer, forget, free_peer, tries_for
from simulator.fleet.pool import EngineSpec, Pool, Workload
from simulator.fleet.worlds import Line, Rules, new_world, write_lines
from simulator.presets import LAB

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from simulator.fleet.layout import World


def lab_pool(*speeds: float) -> Pool:
    """Servers of the laboratory's kind, one per speed."""
    return Pool(tuple(EngineSpec(LAB, speed) for speed in speeds))


def steady(rate: float, duration_s: float, *, seed: int = 0) -> Workload:
    """Requests at random times, of about 60 prompt and 60 output tokens."""
    draw = np.random.Generator(np.random.PCG64(seed))
    count = int(rate * duration_s)
    return Workload(
        np.sort(draw.random(count) * duration_s),
        draw.integers(20, 100, count),
        draw.integers(20, 100, count),
    )


def idle_world(servers: int, requests: int = 400, rules: Rules | None = None) -> World:
    """A world in which requests arrive only when a test sends them."""
    workload = Workload(
        np.full(requests, 1e9), np.ones(requests, np.int64), np.ones(requests, np.int64)
    )
    return new_world(lab_pool(*[1.0] * servers), workload, rules or Rules())


class Nginx:
    """One worker's upstream, asked directly."""

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        mode: int = layout.LEAST_CONN,
        spill: bool = True,
        tries: int = 0,
    ) -> None:
        rules = Rules(mode=mode, max_fails=2, tries=tries)
        self.world: World = idle_world(len(lines), rules=rules)
        self._next = 0
        self.configure(lines, spill=spill)

    def configure(self, lines: Sequence[Line], *, spill: bool = True) -> None:
        """Reload with these lines."""
        write_lines(self.world, 0, list(lines), backups=spill)
        forget(self.world, 0)

    def send(self, now_s: float = 100.0) -> int:
        """Send a new request and leave it open; its line, -1 for none."""
        self._next += 1
        return int(choose_peer(self.world, 0, self.world.requests[self._next], now_s))

    def route(self, dead: AbstractSet[int], now_s: float = 100.0) -> list[int]:
        """Send a new request on from servers that are dead; its lines, of which the last holds it.

        A list without lines, or with only dead ones, is a request that nobody took.
        """
        self._next += 1
        request = self.world.requests[self._next]
        lines: list[int] = []
        for _ in range(tries_for(self.world, 0)):
            line = int(choose_peer(self.world, 0, request, now_s))
            if line < 0:
                break
            lines.append(line)
            if line % len(self.world.engines) not in dead:
                break
            self.answer(line, now_s, layout.BAD)
        return lines

    def answer(self, line: int, now_s: float, outcome: int = layout.GOOD) -> None:
        """End one request of a line."""
        free_peer(self.world, 0, line, now_s, outcome)
