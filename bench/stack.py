"""How long `docker compose up` takes, from nothing to weights that Nginx confirmed.

`python -m bench.stack` brings docker-compose.yml up with the variables of `.env`, in a project of
its own on free ports, and takes it down again. The images have to be there.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.provenance import head
from lab.containers import container, docker
from lab.processes import free_port

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "stack.json"
DEADLINE_S = 300.0
POLL_S = 0.25
_LIVE = "/var/lib/vllm-nginx-lb/live/upstream.conf"
_UNLIKE = re.compile(r" weight=(?!100 )\d+ ")


def main() -> int:
    """Measure, print and write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="(3)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    runs = [measured() for _ in range(options.repeats)]
    for run in runs:
        print("  ".join(f"{name} {seconds:.1f} s" for name, seconds in run.items()), flush=True)
    result = {
        **head("make bench-stack"),
        "engine": docker("version", "--format", "{{.Server.Version}}").strip(),
        "runs_s": runs,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def measured() -> dict[str, float]:
    """Seconds from the command until it returns, and until the first change is confirmed."""
    project = f"lb-bench-{uuid.uuid4().hex[:8]}"
    port = free_port()
    environment = {
        **os.environ,
        "COMPOSE_PROJECT_NAME": project,
        "LB_PORT": str(port),
        "GRAFANA_PORT": str(free_port()),
        "LOAD_INCIDENTS": "off",
    }
    begun_s = time.monotonic()
    with up(environment):
        found = {"up": time.monotonic() - begun_s}
        while not confirmed(project):
            if time.monotonic() - begun_s > DEADLINE_S:
                raise SystemExit(f"bench-stack: no change was confirmed within {DEADLINE_S:g} s")
            time.sleep(POLL_S)
        found["first confirmed change"] = time.monotonic() - begun_s
    return found


@contextlib.contextmanager
def up(environment: dict[str, str]) -> Iterator[None]:
    """The project, until the context ends."""
    try:
        compose(["up", "-d"], environment)
        yield
    finally:
        compose(["down", "--volumes", "--timeout", "5"], environment)


def compose(arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Run a docker compose command."""
    argv = ["docker", "compose", *arguments]
    subprocess.run(argv, check=True, cwd=ROOT, env=environment, capture_output=True)


def confirmed(project: str) -> bool:
    """Whether Nginx serves unlike weights, as the controller has confirmed."""
    controller = container(project, "controller")
    text = docker("exec", controller, "cat", _LIVE)
    if not _UNLIKE.search(text):
        return False
    said = json.loads(docker("exec", controller, "vllm-nginx-lb", "status", "--json"))
    generation = said["generation"]
    return generation["applied"] == generation["served"] and generation["served"] in text


if __name__ == "__main__":
    sys.exit(main())
