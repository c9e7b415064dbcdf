"""Each router as it stands in front of the servers, started for one run and ended after it."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.real.install import Installed
from bench.real.plan import Router
from bench.real.servers import RunningServer
from lab.controller import RunningController, controller, local_nginx
from lab.demo.routers import POOL, upstream_text
from lab.demo.routers import Router as Seed
from lab.nginx import nginx
from lab.processes import child, free_port
from lab.prometheus import RunningPrometheus

JOB = "vllm"

_PEERS = {
    Router.VLLM_ROUTER: ("vllm-router", "power_of_two"),
    Router.SGLANG_ROUTER: ("sglang-router", "cache_aware"),
}


@dataclass(frozen=True, slots=True)
class Front:
    """A router that takes requests at `url`; with the controller behind it where there is one."""

    url: str
    controller: RunningController | None = None


@contextlib.contextmanager
def front(
    router: Router,
    servers: Sequence[RunningServer],
    source: RunningPrometheus,
    installed: Installed,
    directory: Path,
    *,
    scrape_s: int,
) -> Iterator[Front]:
    """Run a router until the context ends.

    Args:
        router: Which one.
        servers: What it distributes to.
        source: What a controller asks.
        installed: The programs of the peers.
        directory: Made if absent. A controller keeps its memory in `state_file(directory)` and
            starts with what is there.
        scrape_s: How often Prometheus scrapes.

    Raises:
        NotReadyError: It did not get ready; the message ends with its log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if router in _PEERS:
        name, policy = _PEERS[router]
        with _peer(installed.routers / name, policy, servers, directory) as url:
            yield Front(url)
        return
    seed = Seed.ROUND_ROBIN if router is Router.ROUND_ROBIN else Seed.LEAST_CONN
    text = upstream_text(seed, [server.address for server in servers])
    with nginx(directory / "nginx", pool=POOL, upstream_text=text) as running:
        if router.policy is None:
            yield Front(running.url)
            return
        config = {
            **controller_config(router.policy, servers, source.url, scrape_s),
            "nginx": local_nginx(running),
            "state": {"file": str(state_file(directory))},
        }
        with controller(directory / "controller", config) as outer:
            yield Front(running.url, outer)


def state_file(directory: Path) -> Path:
    """Where the controller of a front keeps its memory."""
    return directory.resolve() / "state.json"


def controller_config(
    policy: str, servers: Sequence[RunningServer], prometheus_url: str, scrape_s: int
) -> dict[str, Any]:
    """The configuration file: what so frequent scrapes allow, and defaults beside it."""
    return {
        "prometheus": {"url": prometheus_url},
        # Rates over five scrapes, looked at twice in that time.
        "control": {"interval": f"{2.5 * scrape_s:g}s"},
        "pools": [
            {
                "name": POOL,
                "selector": f'job="{JOB}"',
                "rate_window": f"{5 * scrape_s}s",
                "backends": [{"address": server.address} for server in servers],
                "policy": {"name": policy},
            }
        ],
    }


@contextlib.contextmanager
def _peer(
    command: Path, policy: str, servers: Sequence[RunningServer], directory: Path
) -> Iterator[str]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    options = {
        "--host": "127.0.0.1",
        "--port": port,
        "--prometheus-host": "127.0.0.1",
        "--prometheus-port": free_port(),
        "--policy": policy,
        "--worker-startup-check-interval": 1,
        "--max-concurrent-requests": 1024,
    }
    verb = ["launch"] if command.name == "sglang-router" else []
    argv: list[str | Path] = [command, *verb, "--worker-urls", *(server.url for server in servers)]
    argv += [str(part) for option in options.items() for part in option]

    def ready() -> bool:
        return _healthy_workers(f"{url}/readiness") == len(servers)

    with child(argv, directory / f"{command.name}.log", ready=ready, timeout_s=60, cwd=directory):
        yield url


def _healthy_workers(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - an address made here
            return int(json.load(answer)["healthy_workers"])
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return 0
