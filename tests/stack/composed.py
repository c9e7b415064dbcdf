"""The stack in containers: docker-compose.yml as it is, with a second Nginx beside the first."""

import contextlib
import copy
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from testcontainers.compose import DockerCompose

from lab.containers import container, docker
from lab.processes import fetch, free_port
from lab.quick_rules import quick_rules
from tests.stack.stand import (
    BACKENDS,
    CONTROLLER,
    LOAD,
    NGINX,
    RATE,
    SECOND_CONTROLLER,
    SECOND_NGINX,
    Stand,
)

ROOT = Path(__file__).resolve().parents[2]
_PORTS = {
    CONTROLLER: 9808,
    SECOND_CONTROLLER: 9808,
    NGINX: 8081,
    SECOND_NGINX: 8081,
    "inbox": 8080,
    "prometheus": 9090,
    "alertmanager": 9093,
    "mtail": 3903,
    "grafana": 3000,
}
_BACKEND_PORT = 8000
_SHARED = "/var/lib/vllm-nginx-lb"
# Volumes that are small, so that they can be filled, and who writes to them.
_WRITERS = {"req": CONTROLLER, "live": NGINX}
_SMALL = {"request": 10001, "live": 101}
_SIZE = "256k"
# Two minutes of `for` become two seconds.
PACE = 60
# Engines are scraped every five seconds.
SHORTEST_S = 25.0


class Composed(Stand):
    """Every part is a container of one project."""

    def __init__(self, project: str, port: int) -> None:
        super().__init__()
        self._project = project
        self._port = port

    def container(self, part: str) -> str:
        """The container of a part, running or not."""
        return container(self._project, part)

    def inspect(self, part: str) -> dict[str, Any]:
        """What the engine knows of a part."""
        return dict(json.loads(docker("inspect", self.container(part)))[0])

    def run_in(self, part: str, *command: str) -> str:
        """Run a command in a container."""
        return docker("exec", self.container(part), *command)

    @property
    def url(self) -> str:
        """The published port of the first Nginx."""
        return f"http://127.0.0.1:{self._port}"

    def answer(self, part: str, path: str, body: bytes | None = None) -> str | None:
        """Ask a container at its own address, which this host reaches."""
        networks = self.inspect(part)["NetworkSettings"]["Networks"]
        addresses = [each["IPAddress"] for each in networks.values() if each["IPAddress"]]
        if not addresses:
            return None
        return fetch(f"http://{addresses[0]}:{_PORTS.get(part, _BACKEND_PORT)}{path}", body)

    def name_of(self, address: str) -> str:
        """Names are what the controller was given."""
        return address.split(":", maxsplit=1)[0]

    def shared(self, path: str, nginx: str = NGINX) -> str:
        """Read it in the controller's container, since Nginx may be dead, else in that of Nginx."""
        reader = CONTROLLER if nginx == NGINX else SECOND_CONTROLLER
        for part in (reader, nginx):
            with contextlib.suppress(subprocess.CalledProcessError):
                return self.run_in(part, "cat", f"{_SHARED}/{path}")
        return ""

    def signal_watcher(self, name: str) -> None:
        """By the process id in its lock."""
        self.run_in(NGINX, "sh", "-c", f'kill -{name} "$(cat {_SHARED}/ack/.lock/pid)"')

    def kill_part(self, part: str) -> None:
        """SIGKILL to its first process."""
        docker("kill", self.container(part))

    def stop_part(self, part: str) -> None:
        """As the engine stops a container: a signal, then force."""
        docker("stop", "--time", "10", self.container(part))

    def start_part(self, part: str) -> None:
        """Start its container again, and wait until it is well, where it has a check."""
        docker("start", self.container(part))
        self.until_well(part)

    def until_well(self, part: str) -> None:
        """Wait until a container is well."""
        self.until(lambda: self.is_well(part), f"{part} is healthy")

    def is_well(self, part: str) -> bool:
        """Whether a container runs, and is healthy where it has a check."""
        state = self.inspect(part)["State"]
        health = state.get("Health", {}).get("Status", "healthy")
        return bool(state["Running"]) and health == "healthy"

    def pause(self, part: str) -> None:
        """All its processes stand still."""
        docker("pause", self.container(part))

    def resume(self, part: str) -> None:
        """They go on, if they stood still."""
        if self.inspect(part)["State"]["Paused"]:
            docker("unpause", self.container(part))

    def cut(self, part: str) -> None:
        """Leave the network of the servers."""
        docker("network", "disconnect", f"{self._project}_backends", self.container(part))

    def join(self, part: str) -> None:
        """Enter it again, under the same name."""
        network = f"{self._project}_backends"
        docker("network", "connect", "--alias", part, network, self.container(part))

    def fill(self, volume: str) -> None:
        """Write until there is no room."""
        with contextlib.suppress(subprocess.CalledProcessError):
            path = f"{_SHARED}/{volume}/.filling"
            self.run_in(_WRITERS[volume], "dd", "if=/dev/zero", f"of={path}", "bs=1k")

    def free(self, volume: str) -> None:
        """Remove what filled it."""
        self.run_in(_WRITERS[volume], "rm", "-f", f"{_SHARED}/{volume}/.filling")

    def told(self) -> str:
        """The last lines of each container."""
        label = f"label=com.docker.compose.project={self._project}"
        shown = [docker("ps", "--all", "--filter", label)]
        for part in (NGINX, CONTROLLER, LOAD):
            done = subprocess.run(
                ["docker", "logs", "--tail", "8", self.container(part)],
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            shown.append(f"{part}:\n{done.stdout}")
        return "\n".join(shown)


def second(base: dict[str, Any]) -> dict[str, Any]:
    """Another Nginx and another controller, like the first in all but their volumes and ports."""
    parts = {SECOND_NGINX: NGINX, SECOND_CONTROLLER: CONTROLLER}
    volumes: dict[str, Any] = {}
    services: dict[str, Any] = {}
    for name, like in parts.items():
        service = copy.deepcopy(base["services"][like])
        service.pop("ports", None)
        service.pop("build", None)
        for index, mount in enumerate(service["volumes"]):
            source, *rest = mount.split(":")
            if source in base["volumes"]:
                volumes[f"{source}-2"] = {}
                service["volumes"][index] = ":".join([f"{source}-2", *rest])
        services[name] = service
    # Its first Nginx and its own status server; it shares the servers with the other.
    services[SECOND_CONTROLLER]["depends_on"] = {SECOND_NGINX: {"condition": "service_healthy"}}
    url = f"http://{SECOND_NGINX}:8081/lb/generation"
    services[SECOND_CONTROLLER]["environment"]["LB_CONFIRM_URL"] = url
    return {"services": services, "volumes": volumes}


def override(rules: Path) -> dict[str, Any]:
    """What the tests change: a pace that can be watched, and a small volume."""
    added = second(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))
    for volume, user in _SMALL.items():
        mounted = f"size={_SIZE},uid={user},gid={user},mode=0755"
        options = {"type": "tmpfs", "device": "tmpfs", "o": mounted}
        added["volumes"][volume] = {"driver_opts": options}
    # A volume in memory is gone with the last container that has it; this one is never ended.
    kept = ["request:/kept/req:ro", "live:/kept/live:ro"]
    added["services"]["inbox"] = {"volumes": kept}
    added["services"][LOAD] = {"environment": {"LOAD_INCIDENTS": "off", "LOAD_RATE": str(RATE)}}
    added["services"]["prometheus"] = {"volumes": [f"{rules}:/etc/prometheus/rules:ro"]}
    # Where some twenty containers start at once, a check may be late more than three times.
    for name in (*BACKENDS, NGINX, SECOND_NGINX, CONTROLLER, SECOND_CONTROLLER, "prometheus"):
        added["services"].setdefault(name, {}).setdefault("healthcheck", {})["retries"] = 20
    return added


def environment(port: int, project: str) -> str:
    """The variables of the demo, at a pace that can be watched."""
    changed = {
        "LB_PORT": port,
        "GRAFANA_PORT": free_port(),
        "COMPOSE_PROJECT_NAME": project,
        "LB_INTERVAL": "2s",
        "LB_MIN_INTERVAL": "4s",
        "LB_REPLICAS": 2,
        # A kept connection into a network that was cut is silent: so long a request waits on it.
        "LB_READ_TIMEOUT": "20s",
        # Some eighty requests.
        "LB_LOG_MAX_BYTES": 50_000,
        "NOTIFY_GROUP_WAIT": "1s",
        "NOTIFY_GROUP_INTERVAL": "2s",
    }
    lines = (ROOT / ".env").read_text().splitlines()
    kept = [line for line in lines if line.partition("=")[0] not in changed]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in changed.items())]) + "\n"


@contextlib.contextmanager
def composed(directory: Path) -> Iterator[Composed]:
    """Bring the project up, and take it down with its volumes when the context ends."""
    project = f"lb-test-{uuid.uuid4().hex[:8]}"
    port = free_port()
    rules = directory / "rules"
    rules.mkdir(mode=0o755)
    for name in ("recording.yml", "alerts.yml"):
        file = quick_rules(ROOT / "rules" / name, rules / name, PACE, shortest_s=SHORTEST_S)
        file.chmod(0o644)
    directory.chmod(0o755)
    added = directory / "override.yml"
    added.write_text(yaml.safe_dump(override(rules)))
    variables = directory / "stack.env"
    variables.write_text(environment(port, project))
    with DockerCompose(
        ROOT,
        compose_file_name=[str(ROOT / "docker-compose.yml"), str(added)],
        env_file=str(variables),
        wait=False,
    ):
        stand = Composed(project, port)
        for part in (*BACKENDS, NGINX, SECOND_NGINX, CONTROLLER, SECOND_CONTROLLER):
            stand.until_well(part)
        yield stand
