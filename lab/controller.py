"""The real controller as a child process."""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.nginx import RunningNginx
from lab.processes import Child, child, fetch, free_port

_RELOADS = 'vllm_nginx_lb_reloads_total{result="confirmed"}'


@dataclass(frozen=True, slots=True)
class RunningController:
    """A controller that answers at `url`."""

    url: str
    process: Child

    def status(self) -> dict[str, Any] | None:
        """What it sees and does; None before its first tick has ended."""
        body = fetch(f"{self.url}/api/v1/status")
        return None if body is None else dict(json.loads(body))

    def is_ready(self) -> bool:
        """Whether Nginx serves what it confirmed last."""
        return fetch(f"{self.url}/readyz") is not None

    def reloads(self) -> int:
        """Upstream files that Nginx took up and confirmed since it started."""
        for line in (fetch(f"{self.url}/metrics") or "").splitlines():
            if line.startswith(_RELOADS):
                return int(float(line.split()[-1]))
        return 0


def local_nginx(running: RunningNginx) -> dict[str, Any]:
    """The `nginx` section of a configuration, for an Nginx of the laboratory."""
    return {
        "mode": "local",
        "directory": str(running.upstream_dir),
        "config_file": str(running.conf),
        "pid_file": str(running.pid_file),
        "confirm_url": running.generation_url,
    }


@contextlib.contextmanager
def controller(
    directory: Path, config: Mapping[str, Any], *, port: int | None = None
) -> Iterator[RunningController]:
    """Run `vllm-nginx-lb run` until the context ends.

    Args:
        directory: For its configuration and its log; made if absent.
        config: The configuration file; where to listen is added to it.
        port: Where it listens; any free port unless given.

    Raises:
        NotReadyError: It did not get ready; the message ends with its log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    listen = f"127.0.0.1:{port or free_port()}"
    file = directory / "controller.yaml"
    file.write_text(yaml.safe_dump({**config, "telemetry": {"listen": listen}}))
    # The command that was installed beside this Python, whatever the PATH is.
    command = Path(sys.executable).with_name("vllm-nginx-lb")
    with child([command, "run", "--config", file], directory / "controller.log") as process:
        running = RunningController(f"http://{listen}", process)
        process.await_ready(running.is_ready)
        yield running
