"""The clockwork: clients, Nginx, servers, the controller and Prometheus, second by second."""

import math
import random

from controller.core.model import Server as UpstreamServer
from controller.core.render import Upstream, UpstreamOptions, WhenFull, render
from lab.incidents.controlled import TICK_AFTER_S, Controlled
from lab.incidents.engine import Request
from lab.incidents.entry import Nginx
from lab.incidents.fleet import (
    CACHED,
    ENGINES,
    LENGTHS_SCATTER,
    PLACES,
    SGLANG,
    SHEDDING,
    TRAFFIC,
    VLLM,
)
from lab.incidents.history import History
from lab.incidents.monitoring import Monitoring
from lab.incidents.script import play
from lab.incidents.server import Server
from lab.incidents.sglang_server import SglangServer
from lab.incidents.timetable import MINUTES, SCRAPE_S, START_S, WARM_UP_MINUTES
from lab.incidents.vllm_server import VllmServer

_PATIENCE_EVERY_S = 5
_TOKENS_MOST = 3000


class World:
    """All there is, at one time.

    Attributes:
        now_s: Unix time.
        servers: The inference servers.
        nginx: The entry point.
        controlled: The controller.
        crowds: By pool, how many times the usual requests come.
        first_file: The upstream file that everything began with.
    """

    def __init__(self, *, start_s: int = START_S, seed: int = 1) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - chance of a simulation, not a secret
        self._origin_s = start_s
        self.now_s = float(start_s - 60 * WARM_UP_MINUTES)
        self.servers: list[Server] = [
            (VllmServer if place.job == "vllm" else SglangServer)(
                place, VLLM if place.job == "vllm" else SGLANG, self._chance
            )
            for place in PLACES
        ]
        for server in self.servers:
            server.start(self.now_s)
        self.nginx = Nginx(self.servers, SHEDDING)
        self.first_file = _first_file()
        self.nginx.load(self.first_file)
        self.controlled = Controlled(self.servers, self.nginx, SHEDDING, ENGINES)
        self.crowds = dict.fromkeys(TRAFFIC, 1.0)
        self._next_s = dict.fromkeys(TRAFFIC, self.now_s)
        self._monitoring = Monitoring()

    def server(self, address: str) -> Server:
        """The server of this address."""
        return next(one for one in self.servers if one.place.address == address)

    def stop(self, address: str) -> None:
        """End a server's process."""
        self.nginx.lost(self.server(address).die(), self.now_s)

    def run(self, *, minutes: int = MINUTES) -> History:
        """Let time pass, from the warm-up on; returns what was recorded in so many minutes."""
        history = History()
        for second in range(-60 * WARM_UP_MINUTES, 60 * minutes):
            self.now_s = float(self._origin_s + second)
            if second % SCRAPE_S == 0:
                if second >= 0:
                    play(self, second / 60)
                    self._scrape(history, int(self.now_s))
                self.controlled.source.scrape()
            if second % SCRAPE_S == TICK_AFTER_S:
                self.controlled.tick(self.now_s)
            self._pass_a_second(second)
        return history

    def _pass_a_second(self, second: int) -> None:
        for pool in TRAFFIC:
            self._arrive(pool, second)
        for server in self.servers:
            for request in server.work(self.now_s).finished:
                self.nginx.completed(request)
        if second % _PATIENCE_EVERY_S == 0:
            self.nginx.lose_patience(self.now_s)

    def _arrive(self, pool: str, second: int) -> None:
        traffic = TRAFFIC[pool]
        rate = traffic.rate_at(second, self.crowds[pool])
        while self._next_s[pool] < self.now_s + 1:
            at_s = max(self._next_s[pool], self.now_s)
            prompt, output = self._tokens(traffic.prompt), self._tokens(traffic.output)
            cached = int(prompt * min(0.9, 2 * CACHED * self._chance.random()))
            self.nginx.take(Request(pool, at_s, prompt, cached, output, left=output))
            self._next_s[pool] = at_s + self._chance.expovariate(rate)

    def _tokens(self, median: float) -> int:
        drawn = self._chance.lognormvariate(math.log(median), LENGTHS_SCATTER)
        return max(8, min(_TOKENS_MOST, round(drawn)))

    def _scrape(self, history: History, at_s: int) -> None:
        for server in self.servers:
            found = server.samples() if server.up else None
            history.scrape(server.place.job, server.place.address, at_s, found)
        history.scrape("vllm-nginx-lb", "127.0.0.1:9808", at_s, self.controlled.samples())
        history.scrape("nginx-log", "127.0.0.1:3903", at_s, self.nginx.log.tally.samples())
        history.scrape("nginx", "127.0.0.1:9113", at_s, self.nginx.samples())
        self._monitoring.scrape(history, at_s)


def _first_file() -> str:
    upstreams = [
        Upstream(
            pool,
            [UpstreamServer(one.address) for one in PLACES if one.pool == pool],
            UpstreamOptions(when_full=WhenFull.SHED if pool in SHEDDING else WhenFull.SPILL),
        )
        for pool in ENGINES
    ]
    return render(upstreams, {one.address: one.endpoint for one in PLACES}).text
