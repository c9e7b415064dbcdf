"""One session: four servers that run throughout, one router in front of them at a time."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.real.client import Load, send, sending
from bench.real.figures import Request
from bench.real.fronts import JOB, Front, front, state_file
from bench.real.install import Installed
from bench.real.plan import Router, Run
from bench.real.servers import (
    METRICS_POLL_S,
    OUTPUT_TOKENS,
    SLOTS,
    RunningServer,
    await_idle,
    servers,
)
from lab.processes import await_true
from lab.prometheus import RunningPrometheus, prometheus, scrape_job

THROTTLED = 0
THROTTLE_FACTOR = 3.0

# The closed loop that fills all slots; the fastest server answers two dozen full batches meanwhile.
SATURATED_S = 40.0

_SCRAPED_S = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """Servers that are up.

    Attributes:
        installed: The programs.
        running: The servers, in the order of their speeds.
        scrape_s: How often Prometheus scrapes them.
        directory: For logs; one directory of it per run.
    """

    installed: Installed
    running: Sequence[RunningServer]
    scrape_s: int
    directory: Path

    def capacity(self) -> float:
        """Requests per second that the servers answer together when all their slots are full.

        Counted in tokens by the engines themselves, while a client keeps as many requests in flight
        as there are slots and least_conn spreads them evenly.
        """
        await_idle(self.running)
        slots = SLOTS * len(self.running)
        # More than can be answered meanwhile; the client is ended when enough was seen.
        load = Load(requests=40 * slots, rate=None, seed=0, at_once=slots)
        directory = self.directory / "capacity"
        with (
            self._front(Router.LEAST_CONN, directory) as before,
            sending(self.installed, before.url, load, directory),
        ):
            await_true(self._all_busy, _SCRAPED_S, "all engines busy", poll_s=METRICS_POLL_S)
            began_s, had = time.monotonic(), self._generated()
            time.sleep(SATURATED_S)
            tokens, seconds = self._generated() - had, time.monotonic() - began_s
        await_idle(self.running)
        return tokens / seconds / OUTPUT_TOKENS

    def play(self, run: Run, load: Load, memory: str | None) -> dict[str, Any]:
        """Send the load through a router and tell what came of it.

        Args:
            run: Which router, and whether a server is slowed half-way.
            load: What to send.
            memory: What the controller, if there is one, starts with; None for nothing.

        Raises:
            NotReadyError: A server did not start or did not get idle.
            ClientError: The client failed.
        """
        await_idle(self.running)
        directory = self.directory / run.key.replace("/", "-")
        directory.mkdir(parents=True, exist_ok=True)
        memory_file = state_file(directory)
        if memory is not None:
            memory_file.write_text(memory)
        finished, cpu = self._finished(), cpu_times()
        slow = self.running[THROTTLED]
        at_half = partial(slow.slow_down, THROTTLE_FACTOR) if run.scenario.throttled else None
        try:
            with self._front(run.router, directory) as before:
                requests = send(self.installed, before.url, load, directory, at_half)
                controller = _controller(before, self.running)
        finally:
            slow.restore()
        return {
            "key": run.key,
            "rate": load.rate,
            "cpu_busy": busy_share(cpu, cpu_times()),
            "answered_by": [b - a for a, b in zip(finished, self._finished(), strict=True)],
            "controller": controller,
            "memory": memory_file.read_text() if memory_file.exists() else None,
            "requests": [astuple(request) for request in requests],
        }

    @contextlib.contextmanager
    def _front(self, router: Router, directory: Path) -> Iterator[Front]:
        """A router, and a Prometheus that knows nothing of the runs before.

        Prometheus is there for every router: scrapes cost the engines something.
        """
        addresses = [server.address for server in self.running]
        job = scrape_job(JOB, addresses, interval=f"{self.scrape_s}s")
        with prometheus(directory / "prometheus", [job]) as source:
            await_true(lambda: _scraped(source, len(addresses)), _SCRAPED_S, "scraped twice")
            with front(
                router, self.running, source, self.installed, directory, scrape_s=self.scrape_s
            ) as started:
                yield started

    def _all_busy(self) -> bool:
        # One that has just answered waits for its next request.
        return all(server.requests_inside() >= SLOTS - 2 for server in self.running)

    def _finished(self) -> list[int]:
        return [server.finished() for server in self.running]

    def _generated(self) -> int:
        return sum(server.generated() for server in self.running)


@contextlib.contextmanager
def session(
    installed: Installed, directory: Path, ports: Sequence[int], scrape_s: int
) -> Iterator[Session]:
    """Run the servers until the context ends.

    Raises:
        NotReadyError: One did not start; the message ends with its log.
    """
    with servers(installed, directory / "servers", ports) as running:
        yield Session(installed, running, scrape_s, directory)


def requests_of(record: Mapping[str, Any]) -> list[Request]:
    """The requests of a run that was kept."""
    return [
        Request(start_s, ttft_s, e2e_s, tokens, tuple(itls_ms), error)
        for start_s, ttft_s, e2e_s, tokens, itls_ms, error in record["requests"]
    ]


def cpu_times() -> tuple[int, int]:
    """Busy and idle ticks of all cores since the machine started."""
    first = Path("/proc/stat").read_text().splitlines()[0]
    ticks = [int(word) for word in first.split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, idle


def busy_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """How much of the cores was used between two readings, by whomever."""
    busy, idle = after[0] - before[0], after[1] - before[1]
    return round(busy / max(1, busy + idle), 3)


def _scraped(source: RunningPrometheus, targets: int) -> bool:
    # Rates need two samples.
    twice = f'count(count_over_time(up{{job="{JOB}"}}[5m]) >= 2)'
    return (source.value(twice) or 0) >= targets


def _controller(before: Front, running: Sequence[RunningServer]) -> dict[str, Any] | None:
    """What the controller did, as it says itself; None where there is none."""
    if before.controller is None:
        return None
    status = before.controller.status() or {"pools": []}
    weights = {
        backend["address"]: backend["weight_applied"]
        for pool in status["pools"]
        for backend in pool["backends"]
    }
    return {
        "reloads": before.controller.reloads(),
        "weights": [weights.get(server.address) for server in running],
    }
