"""The stack as processes of this machine."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from lab.controller import controller
from lab.nginx import nginx, seed_text, watcher
from lab.processes import Child, answers, child, fetch, free_port
from lab.prometheus import prometheus, scrape_job
from tests.stack.stand import (
    BACKENDS,
    CONTROLLER,
    LOAD,
    NGINX,
    PROMETHEUS,
    RATE,
    SECOND_CONTROLLER,
    SECOND_NGINX,
    SPEEDS,
    Stand,
)

_ROOT = Path(__file__).resolve().parents[2]
# How a part is started: its context gives the process that stands for it.
Starting = Callable[[], contextlib.AbstractContextManager[Child]]


class Native(Stand):
    """Every part is a child process; its directory and its ports outlive it."""

    lacks: ClassVar[Mapping[str, str]] = {
        "cut": "processes of one machine share its network",
        "fill": "they write to the disk of this machine",
    }

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._ports = {
            name: free_port() for name in (*BACKENDS, PROMETHEUS, CONTROLLER, SECOND_CONTROLLER)
        }
        self._entries = {name: (free_port(), free_port()) for name in (NGINX, SECOND_NGINX)}
        self._running: dict[str, tuple[contextlib.ExitStack, Child]] = {}
        self._starting: dict[str, Starting] = {
            **{
                name: self._backend(name, speed)
                for name, speed in zip(BACKENDS, SPEEDS, strict=True)
            },
            PROMETHEUS: self._prometheus,
            NGINX: lambda: self._with_watcher(NGINX),
            SECOND_NGINX: lambda: self._with_watcher(SECOND_NGINX),
            CONTROLLER: lambda: self._controller(CONTROLLER, NGINX),
            SECOND_CONTROLLER: lambda: self._controller(SECOND_CONTROLLER, SECOND_NGINX),
            LOAD: self._load,
        }

    # ---- the parts -------------------------------------------------------------------------------

    def address(self, backend: str) -> str:
        """host:port of a backend."""
        return f"127.0.0.1:{self._ports[backend]}"

    def _backend(self, name: str, speed: float) -> Starting:
        argv = [sys.executable, "-m", "simulator.server", "--port", str(self._ports[name])]
        argv += ["--speed", str(speed), "--preset", "lab"]
        url = f"http://{self.address(name)}/health"
        log = self._directory / f"{name}.log"
        return lambda: child(argv, log, cwd=_ROOT, ready=lambda: answers(url))

    @contextlib.contextmanager
    def _prometheus(self) -> Iterator[Child]:
        job = scrape_job("vllm", [self.address(name) for name in BACKENDS], interval="1s")
        directory = self._directory / PROMETHEUS
        with prometheus(directory, [job], port=self._ports[PROMETHEUS]) as running:
            yield running.process

    @contextlib.contextmanager
    def _with_watcher(self, name: str) -> Iterator[Child]:
        entry, status = self._entries[name]
        directory = self._directory / name
        seed = None
        if not (directory / "shared/live/upstream.conf").exists():
            seed = seed_text("llm", tuple(self.address(each) for each in BACKENDS))
        listen = {
            "LB_LISTEN": f"127.0.0.1:{entry}",
            "LB_STATUS_LISTEN": f"127.0.0.1:{status}",
        }
        with nginx(directory, upstream_text=seed, **listen) as running, watcher(running):
            yield running.process

    @contextlib.contextmanager
    def _controller(self, name: str, front: str) -> Iterator[Child]:
        directory = self._directory / name
        config = {
            "prometheus": {"url": f"http://127.0.0.1:{self._ports[PROMETHEUS]}", "timeout": "2s"},
            "pools": [
                {
                    "name": "llm",
                    "selector": 'job="vllm"',
                    "rate_window": "8s",
                    "backends": [{"address": self.address(each)} for each in BACKENDS],
                }
            ],
            "control": {"interval": "2s", "min_interval": "4s", "fast_interval": "2s"},
            "nginx": {
                "mode": "shared_volume",
                "directory": str(self._directory / front / "shared"),
                "confirm_url": f"http://127.0.0.1:{self._entries[front][1]}/lb/generation",
                "replicas": 2,
            },
            "state": {"file": str(directory / "state.json")},
        }
        with controller(directory, config, port=self._ports[name]) as running:
            yield running.process

    def _load(self) -> contextlib.AbstractContextManager[Child]:
        argv = [sys.executable, "-m", "lab.stack.load", self.url]
        environment = {"LOAD_RATE": str(RATE), "LOAD_INCIDENTS": "off"}
        return child(argv, self._directory / "load.log", cwd=_ROOT, env=environment)

    # ---- the stand -------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Of the first Nginx."""
        return f"http://127.0.0.1:{self._entries[NGINX][0]}"

    def answer(self, part: str, path: str, body: bytes | None = None) -> str | None:
        """Ask a part; the status server of an Nginx."""
        port = self._entries[part][1] if part in self._entries else self._ports[part]
        return fetch(f"http://127.0.0.1:{port}{path}", body)

    def name_of(self, address: str) -> str:
        """By its port."""
        return next(name for name in BACKENDS if self.address(name) == address)

    def shared(self, path: str, nginx: str = NGINX) -> str:
        """Read it."""
        file = self._directory / nginx / "shared" / path
        return file.read_text() if file.exists() else ""

    def signal_watcher(self, name: str) -> None:
        """By the process id in its lock."""
        os.kill(int(self.shared("ack/.lock/pid")), getattr(signal, f"SIG{name}"))

    def start_part(self, part: str) -> None:
        """Start a part, and wait until it answers."""
        ended = contextlib.ExitStack()
        self._running[part] = (ended, ended.enter_context(self._starting[part]()))

    def stop_part(self, part: str) -> None:
        """End a part with SIGTERM."""
        ended, _ = self._running.pop(part)
        ended.close()

    def kill_part(self, part: str) -> None:
        """End a part with SIGKILL."""
        ended, process = self._running.pop(part)
        process.signal(signal.SIGKILL)
        ended.close()

    def pause(self, part: str) -> None:
        """SIGSTOP."""
        self._running[part][1].signal(signal.SIGSTOP)

    def resume(self, part: str) -> None:
        """SIGCONT."""
        self._running[part][1].signal(signal.SIGCONT)

    def cut(self, part: str) -> None:
        """See `lacks`."""
        raise NotImplementedError(part)

    def join(self, part: str) -> None:
        """See `lacks`."""
        raise NotImplementedError(part)

    def fill(self, volume: str) -> None:
        """See `lacks`."""
        raise NotImplementedError(volume)

    def free(self, volume: str) -> None:
        """See `lacks`."""
        raise NotImplementedError(volume)

    def told(self) -> str:
        """The last lines of each part's log."""
        return "\n".join(f"{part}: {each.tail(5)}" for part, (_, each) in self._running.items())

    def end(self) -> None:
        """End all parts."""
        for part in (LOAD, *[each for each in self._running if each != LOAD]):
            if part in self._running:
                self.stop_part(part)


@contextlib.contextmanager
def native(directory: Path) -> Iterator[Native]:
    """Run all parts until the context ends."""
    stand = Native(directory)
    try:
        order = (*BACKENDS, PROMETHEUS, NGINX, SECOND_NGINX, CONTROLLER, SECOND_CONTROLLER, LOAD)
        for part in order:
            stand.start_part(part)
        yield stand
    finally:
        stand.end()
