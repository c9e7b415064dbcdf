"""Simulated backends as child processes."""

import contextlib
import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.processes import Child, child

_ROOT = Path(__file__).resolve().parents[1]
_LOAD_GAUGES = ("vllm:num_requests_running{", "vllm:num_requests_waiting{")


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulated vLLM server that answers at `address`, host:port."""

    address: str
    process: Child

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.address}"

    def settings(self) -> dict[str, Any]:
        """Its present settings, and `worst_lag_s`: how late its tokens came out at worst."""
        return dict(json.loads(_exchange(f"{self.url}/simulator")))

    def change(self, **settings: object) -> None:
        """Change settings: speed, num_gpu_blocks, fault."""
        _exchange(f"{self.url}/simulator", json.dumps(settings).encode())

    def requests_inside(self) -> int:
        """Requests that run or wait in its engine now."""
        lines = _exchange(f"{self.url}/metrics").decode().splitlines()
        return int(sum(float(line.split()[-1]) for line in lines if line.startswith(_LOAD_GAUGES)))


@contextlib.contextmanager
def simulators(
    directory: Path, speeds: Sequence[float], *, preset: str = "lab"
) -> Iterator[tuple[RunningSimulator, ...]]:
    """Run one simulated backend per speed until the context ends.

    Raises:
        NotReadyError: One did not start; the message ends with its log.
    """
    with contextlib.ExitStack() as stack:
        started = []
        # All start before any is awaited: on a small machine that saves seconds.
        for index, speed in enumerate(speeds):
            port_file = directory / f"simulator-{index}.port"
            port_file.unlink(missing_ok=True)
            argv: list[str | Path] = [sys.executable, "-m", "simulator.server", "--port", "0"]
            argv += ["--port-file", port_file, "--speed", str(speed), "--preset", preset]
            log = directory / f"simulator-{index}.log"
            started.append((port_file, stack.enter_context(child(argv, log, cwd=_ROOT))))
        running = []
        for port_file, process in started:
            process.await_ready(port_file.exists)
            running.append(RunningSimulator(f"127.0.0.1:{int(port_file.read_text())}", process))
        yield tuple(running)


def _exchange(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, body, timeout=10) as answer:  # noqa: S310 - an address made here
        return bytes(answer.read())
