"""All that stands on the stage: simulated backends, Prometheus and Nginx."""

import contextlib
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.demo.plan import SPEEDS, THROTTLED, THROTTLED_SPEED
from lab.demo.routers import POOL, Router, generation_of, upstream_text
from lab.nginx import RunningNginx, nginx
from lab.processes import Child, await_true
from lab.prometheus import RunningPrometheus, prometheus, scrape_job
from lab.simulators import RunningSimulator, simulators

JOB = "vllm"
SELECTOR = f'job="{JOB}"'
# Debian's packages are named like what they put on the PATH.
PACKAGES = ("nginx", "prometheus", "prometheus-alertmanager")
# Workers of before a reload still accept for a moment; as many answers in a row are the new ones'.
ANSWERS_IN_A_ROW = 10


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The running servers; backends are known by the letters of `SPEEDS`."""

    backends: dict[str, RunningSimulator]
    prometheus: RunningPrometheus
    nginx: RunningNginx

    @property
    def addresses(self) -> list[str]:
        """The backends' addresses, in the order of their letters."""
        return [backend.address for backend in self.backends.values()]

    def children(self) -> list[Child]:
        """All child processes of the stage."""
        return [
            *(backend.process for backend in self.backends.values()),
            self.prometheus.process,
            self.nginx.process,
        ]

    def throttle(self) -> None:
        """Slow one backend down."""
        self.backends[THROTTLED].change(speed=THROTTLED_SPEED)

    def reset(self) -> None:
        """Give every backend its speed, and wait until none has a request left."""
        for name, backend in self.backends.items():
            backend.change(speed=SPEEDS[name])
        await_true(self._is_empty, 5.0, "engines without requests")

    def route(self, router: Router) -> None:
        """Make Nginx serve a router's upstream file with equal weights, and wait until it does."""
        text = upstream_text(router, self.addresses)
        wanted = generation_of(text)
        if self.nginx.generation() == wanted:
            return
        staged = self.nginx.upstream_file.with_name(".demo.tmp")
        staged.write_text(text)
        staged.replace(self.nginx.upstream_file)
        self.nginx.process.signal(signal.SIGHUP)

        def serves() -> bool:
            return all(self.nginx.generation() == wanted for _ in range(ANSWERS_IN_A_ROW))

        await_true(serves, 10.0, f"Nginx serving {router.spoken}")

    def _is_empty(self) -> bool:
        return all(backend.requests_inside() == 0 for backend in self.backends.values())


def check_alive(children: Sequence[Child]) -> None:
    """Make sure that every child process still runs.

    Raises:
        DemoError: One has ended; the message ends with its log.
    """
    for each in children:
        if not each.is_running():
            raise DemoError(f"{each.log.stem} ended in the middle of the demo:\n{each.tail()}")


@contextlib.contextmanager
def stage(directory: Path) -> Iterator[Stage]:
    """Start everything but the controller; it ends with the context.

    Raises:
        DemoError: A program is missing.
        NotReadyError: One did not start.
    """
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if missing:
        raise DemoError(
            f"not on the PATH: {', '.join(missing)}. `make demo` installs what is missing;"
            f" by hand on Debian or Ubuntu: apt-get install {' '.join(missing)}"
        )
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(simulators(directory, list(SPEEDS.values())))
        addresses = [backend.address for backend in running]
        scraping = prometheus(directory / "prometheus", [scrape_job(JOB, addresses)])
        measured = stack.enter_context(scraping)
        text = upstream_text(Router.ROUND_ROBIN, addresses)
        entry = nginx(directory / "nginx", pool=POOL, upstream_text=text)
        yield Stage(dict(zip(SPEEDS, running, strict=True)), measured, stack.enter_context(entry))
