"""A run: the world, a router and events, from time 0 until every request has its fate."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from controller.core.render import WhenFull
from simulator.fleet import layout
from simulator.fleet.advancing import advance
from simulator.fleet.controlling import Controller
from simulator.fleet.events import Event, Join, happen
from simulator.fleet.nginx import forget
from simulator.fleet.results import Change, RunResult
from simulator.fleet.routers import Controlled, LeastConn, NginxSetup, RoundRobin, Router
from simulator.fleet.saturation import pool_rates
from simulator.fleet.worlds import Line, Rules, new_world, write_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.fleet.layout import World
    from simulator.fleet.pool import Pool, Workload

# How often a run that has nothing else to do is looked at for its end.
_GLANCE_S: Final = 5.0


def run(
    pool: Pool,
    workload: Workload,
    router: Router,
    events: Sequence[Event] = (),
    *,
    seed: int = 0,
    duration_s: float = 900.0,
    warmup_s: float = 60.0,
    drain_s: float = 120.0,
    timeout_s: float = 60.0,
) -> RunResult:
    """Simulate a fleet.

    Args:
        pool: the servers.
        workload: the requests; those from `duration_s` on are left out.
        router: what chooses a server.
        events: what happens to servers.
        seed: of all chance: which Nginx, worker or server is drawn, when a target is scraped.
        duration_s: how long requests arrive.
        warmup_s: until when arrivals are not counted in summaries.
        drain_s: how long the run goes on after that for requests in flight.
        timeout_s: silence of a frozen engine after which a client gives up.
    """
    course = _Course(
        pool,
        workload.until(duration_s),
        router,
        seed=seed,
        horizon_s=duration_s + drain_s,
        timeout_s=timeout_s,
    )
    course.plan(events)
    course.run(duration_s, duration_s + drain_s)
    return course.result(warmup_s, duration_s)


class _Course:
    """A run in progress: the world, and an agenda of what interrupts the kernel."""

    def __init__(
        self,
        pool: Pool,
        workload: Workload,
        router: Router,
        *,
        seed: int,
        horizon_s: float,
        timeout_s: float,
    ) -> None:
        self._pool = pool
        self._router = router
        self._rules = _rules(router, timeout_s)
        self.world: World = new_world(pool, workload, self._rules, seed=seed, horizon_s=horizon_s)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        self._controllers: list[Controller] = []
        self._lines: list[list[Line | None]] = []
        self._changes: list[Change] = []
        if router.mode == layout.SHORTEST_QUEUE:
            capacities = getattr(router, "capacities", None) or pool_rates(pool, workload)
            self.world.engines["true_capacity"] = capacities

    def plan(self, events: Sequence[Event]) -> None:
        """Put all that is known to happen on the agenda, and the first upstream into Nginx."""
        known = [True] * len(self._pool.engines)
        for event in sorted(events, key=lambda each: each.at_s):
            if isinstance(event, Join):
                health = layout.ABSENT if event.discovered else layout.DEAD
                self.world.engines[event.server]["health"] = health
                known[event.server] = not event.discovered
            self._at(event.at_s, lambda event=event: self._happen(event))  # type: ignore[misc]
        match self._router:
            case Controlled():
                self._start_controllers(self._router, known)
            case LeastConn() | RoundRobin():
                self._start_fixed(self._router, known)
            case _:
                pass

    def run(self, duration_s: float, limit_s: float) -> None:
        """Go through the agenda until all requests have their fate, or to the limit."""
        world = self.world
        while (now_s := float(world.clock[0]["now"])) < limit_s:
            if now_s >= duration_s and not world.clock[0]["open"]:
                return
            until_s = min(limit_s, now_s + _GLANCE_S if now_s >= duration_s else duration_s)
            if self._agenda and self._agenda[0][0] <= until_s:
                at_s, _, action = heapq.heappop(self._agenda)
                advance(world, at_s)
                action()
            else:
                advance(world, until_s)

    def result(self, warmup_s: float, duration_s: float) -> RunResult:
        """Everything that came of it."""
        requests = self.world.requests
        ticks = [tick for controller in self._controllers for tick in controller.ticks]
        return RunResult(
            arrival_s=requests["arrival"].copy(),
            prompt_tokens=requests["prompt"].astype(int),
            output_tokens=requests["output"].astype(int),
            server=requests["server"].astype(int),
            dispatched_s=requests["dispatched"].copy(),
            first_token_s=requests["first_token"].copy(),
            finished_s=requests["finished"].copy(),
            status=requests["status"].astype(int),
            retries=requests["retries"].astype(int),
            preemptions=requests["preemptions"].astype(int),
            spilled=requests["backups"] != 0,
            had_room=requests["had_room"] != 0,
            warmup_s=warmup_s,
            duration_s=duration_s,
            end_s=float(self.world.clock[0]["now"]),
            changes=tuple(self._changes),
            ticks=tuple(sorted(ticks, key=lambda tick: (tick.at_s, tick.replica))),
            memories=tuple(controller.memory for controller in self._controllers),
            scrapes=self.world.scrapes,
        )

    def _at(self, at_s: float, action: Callable[[], None]) -> None:
        self._planned += 1
        heapq.heappush(self._agenda, (at_s, self._planned, action))

    def _every(self, first_s: float, period_s: float, action: Callable[[], None]) -> None:
        def once(turn: int) -> None:
            action()
            self._at(first_s + (turn + 1) * period_s, lambda: once(turn + 1))

        self._at(first_s, lambda: once(0))

    def _happen(self, event: Event) -> None:
        happen(self.world, event)
        if not isinstance(event, Join) or not event.discovered:
            return
        if isinstance(self._router, LeastConn | RoundRobin):
            for replica, lines in enumerate(self._lines):
                lines[event.server] = self._fixed_line(self._router, event.server)
                self._reload(replica, lines, "join")

    def _start_fixed(self, router: LeastConn | RoundRobin, known: Sequence[bool]) -> None:
        lines = [
            self._fixed_line(router, server) if here else None for server, here in enumerate(known)
        ]
        for replica in range(router.nginx.replicas):
            self._lines.append(list(lines))
            self._serve(replica, lines)
            if router.reload_every_s > 0:
                self._every(
                    router.reload_every_s,
                    router.reload_every_s,
                    lambda replica=replica: self._reload(  # type: ignore[misc]
                        replica, self._lines[replica], "forced"
                    ),
                )

    @staticmethod
    def _fixed_line(router: LeastConn | RoundRobin, server: int) -> Line:
        weight = router.weights[server] if router.weights else 1
        return Line(
            weight=max(1, weight),
            down=weight == 0,
            max_conns=router.max_conns[server] if router.max_conns else None,
            reserve=isinstance(router, LeastConn) and server in router.reserve,
        )

    def _start_controllers(self, router: Controlled, known: Sequence[bool]) -> None:
        replicas = router.nginx.replicas
        for replica in range(replicas):
            controller = Controller(router, self._pool.addresses, replica)
            self._controllers.append(controller)
            self._serve(replica, controller.start(known))
            first_s = router.interval_s if router.first_tick_s is None else router.first_tick_s
            self._every(
                first_s + replica * router.interval_s / replicas,
                router.interval_s,
                lambda replica=replica: self._tick(router, replica),  # type: ignore[misc]
            )

    def _tick(self, router: Controlled, replica: int) -> None:
        controller = self._controllers[replica]
        lines = controller.tick(self.world)
        if lines is not None:
            tick = controller.ticks[-1]
            reason = str(tick.decision.reason)
            self._at(tick.at_s + router.effect_s, lambda: self._reload(replica, lines, reason))

    def _reload(self, replica: int, lines: Sequence[Line | None], reason: str) -> None:
        self._serve(replica, lines)
        at_s = float(self.world.clock[0]["now"])
        self._changes.append(Change(at_s, replica, tuple(lines), reason))

    def _serve(self, replica: int, lines: Sequence[Line | None]) -> None:
        nginx: NginxSetup = self._router.nginx  # type: ignore[union-attr]  # only Nginx has lines
        spill = nginx.spill
        if isinstance(self._router, Controlled):
            spill = self._router.spec.options.when_full is WhenFull.SPILL
        write_lines(self.world, replica, lines, backups=spill)
        if isinstance(self._router, LeastConn) and self._router.long_prompts:
            weights = self._router.long_prompts.weights
            theirs = [
                Line(max(1, weight), down=weight == 0) if line else None
                for weight, line in zip(weights, lines, strict=True)
            ]
            write_lines(self.world, replica, theirs, backups=spill, table=1)
        if nginx.forgets:
            forget(self.world, replica)


def _rules(router: Router, timeout_s: float) -> Rules:
    if isinstance(router, Controlled | LeastConn | RoundRobin):
        nginx = router.nginx
        controlled = router if isinstance(router, Controlled) else None
        options = controlled.spec.options if controlled else nginx
        split = router.long_prompts if isinstance(router, LeastConn) else None
        return Rules(
            mode=router.mode,
            replicas=nginx.replicas,
            tables=2 if split else 1 if nginx.zone else nginx.workers,
            long_from=split.from_tokens if split else 0,
            max_fails=options.max_fails,
            fail_timeout_s=int(options.fail_timeout_s),
            tries=nginx.tries,
            retry_500=nginx.retry_500,
            scrape_s=controlled.scrape_s if controlled else 0.0,
            timeout_s=timeout_s,
        )
    return Rules(
        mode=router.mode,
        tries=router.tries,
        retry_500=router.retry_500,
        fresh_s=getattr(router, "fresh_s", 0.0),
        timeout_s=timeout_s,
    )
