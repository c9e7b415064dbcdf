"""Child processes that are awaited, not slept for, and never outlive their context."""

import contextlib
import ctypes
import functools
import http.client
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

POLL_S = 0.02
STOP_S = 5.0
# A process that ends is told of at once; one that only starts has this long on a busy machine.
READY_S = 60.0
# Linux gives out ports from 32768 on by itself, so these are free until somebody asks for them.
# "first-last" in the variable keeps programs that run at the same time apart.
PORTS_VARIABLE = "LAB_PORTS"
PORTS = "10000-32767"
PR_SET_PDEATHSIG = 1


class NotReadyError(Exception):
    """A child process died or did not become ready in time; the message ends with its log."""


@functools.cache
def _ports() -> Iterator[int]:
    """All ports of the range, each once, in an order of this process alone."""
    first, last = map(int, os.environ.get(PORTS_VARIABLE, PORTS).split("-"))
    ports = list(range(first, last + 1))
    random.shuffle(ports)
    return iter(ports)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on, and nobody was given before.

    Raises:
        NotReadyError: There is none left in the range.
    """
    for port in _ports():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise NotReadyError(f"no port is left of {os.environ.get(PORTS_VARIABLE, PORTS)}")


def answers(url: str) -> bool:
    """Whether a server is there and says 200."""
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - an address of the laboratory
            return True
    except (urllib.error.URLError, OSError):
        return False


def fetch(url: str, body: bytes | None = None, *, timeout_s: float = 5.0) -> str | None:
    """What a server answers, to a POST where there is a body; None unless it says 200."""
    try:
        with urllib.request.urlopen(url, body, timeout=timeout_s) as answer:  # noqa: S310 - as above
            return str(answer.read().decode())
    except (http.client.HTTPException, OSError):
        return None


def await_true(
    condition: Callable[[], bool], timeout_s: float, what: str, *, poll_s: float = POLL_S
) -> None:
    """Wait until the condition holds; it is asked every `poll_s` seconds.

    Raises:
        NotReadyError: It did not hold within `timeout_s` seconds; `what` names it.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        # Asked for the last time behind the deadline: this process may have stood still meanwhile.
        is_late = time.monotonic() > deadline_s
        if condition():
            return
        if is_late:
            raise NotReadyError(f"not within {timeout_s:g} s: {what}")
        time.sleep(poll_s)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _die_with_parent() -> None:
    # A killed demo or test run must leave no server behind, and SIGKILL runs no clean-up code.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A running child process whose output goes to a log file."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        log: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self._name = Path(argv[0]).name
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(part) for part in argv],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                env={**os.environ, **env} if env else None,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - the parent is single-threaded at start
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def await_ready(self, condition: Callable[[], bool], timeout_s: float = READY_S) -> None:
        """Wait until the condition holds; a process that ends first is an error.

        Raises:
            NotReadyError: It ended, or the condition did not hold in time.
        """

        def ready_or_dead() -> bool:
            return not self.is_running() or condition()

        try:
            await_true(ready_or_dead, timeout_s, f"{self._name} ready")
        except NotReadyError as error:
            raise NotReadyError(f"{error}\n{self.tail()}") from error
        if not self.is_running():
            raise NotReadyError(f"{self._name} ended at start\n{self.tail()}")

    def tail(self, lines: int = 20) -> str:
        """The last lines that the process wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: int) -> None:
        """Send a signal to the process itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def stop(self) -> int:
        """End the process and what it started: politely, then by force; returns its exit code."""
        if self.is_running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            code = self.process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return code


@contextlib.contextmanager
def child(
    argv: Sequence[str | Path],
    log: Path,
    *,
    ready: Callable[[], bool] | None = None,
    timeout_s: float = READY_S,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Run a child process for as long as the context lasts."""
    running = Child(argv, log, cwd=cwd, env=env)
    try:
        if ready is not None:
            running.await_ready(ready, timeout_s)
        yield running
    finally:
        running.stop()
