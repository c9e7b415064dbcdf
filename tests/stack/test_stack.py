"""What only containers have: how they are kept, what they see of each other, who is told."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.containers import docker
from tests.stack.composed import ROOT, Composed
from tests.stack.stand import BACKENDS, CONTROLLER, LOAD, NGINX, PROMETHEUS, SECOND_NGINX, stream

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.timeout(600)]
SERVICES = (
    *(NGINX, SECOND_NGINX, CONTROLLER, PROMETHEUS, "alertmanager", "grafana", "nginx-exporter"),
    *("mtail", *BACKENDS, LOAD, "inbox"),
)
FROZEN = BACKENDS[0]


@pytest.fixture
def stack(composed_stack: Composed) -> Composed:
    """The project of docker-compose.yml."""
    return composed_stack


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_well_and_restricted(stack: Composed, service: str) -> None:
    """It runs, is healthy, is not root, cannot write to its root file system, has no capability."""
    stack.until_well(service)
    kept = stack.inspect(service)
    assert kept["HostConfig"]["ReadonlyRootfs"]
    assert kept["HostConfig"]["CapDrop"] == ["ALL"]
    assert not kept["HostConfig"]["CapAdd"]
    assert "no-new-privileges:true" in kept["HostConfig"]["SecurityOpt"]
    first, *rest = docker("top", kept["Id"], "-eo", "pid,uid,comm").splitlines()
    assert first.split() == ["PID", "UID", "COMMAND"]
    # The engine enters the container as root, and then changes to the user of a health check.
    own = [line.split()[1] for line in rest if line.split()[2] not in {"runc", "runc:[2:INIT]"}]
    assert own
    assert "0" not in own


def test_prometheus_reaches_every_target_and_takes_every_rule(stack: Composed) -> None:
    """No target is down, the engines' among them, and no rule has failed."""

    def is_every_target_up() -> bool:
        targets = asked(stack, "/api/v1/targets").get("activeTargets", [])
        jobs = {each["labels"]["job"] for each in targets}
        return jobs >= {"vllm", "vllm-nginx-lb", "nginx"} and {
            each["health"] for each in targets
        } == {"up"}

    stack.until(is_every_target_up, "every target is up")
    groups = asked(stack, "/api/v1/rules")["groups"]
    assert sum(len(group["rules"]) for group in groups) > 50
    assert [rule for group in groups for rule in group["rules"] if rule["health"] == "err"] == []


def asked(stack: Composed, path: str) -> dict[str, Any]:
    """What Prometheus' API answers; nothing where it does not."""
    said = stack.answer(PROMETHEUS, path)
    return {} if said is None else dict(json.loads(said)["data"])


def test_requests_are_seen_by_backend_through_the_rotation_of_the_log(stack: Composed) -> None:
    """The access log is begun anew when it has grown, and mtail counts on."""

    def rotated() -> bool:
        names = stack.run_in(NGINX, "ls", "/var/log/vllm-nginx-lb")
        return "access.log.1" in names.split()

    stack.until(rotated, "the log is begun anew")
    before = counted(stack)
    assert stream(stack.url).is_whole
    stack.until(lambda: counted(stack) > before, "mtail counts on")


def counted(stack: Composed) -> float:
    """Requests that mtail has seen."""
    page = stack.answer("mtail", "/metrics") or ""
    lines = re.findall(r"^nginx_lb_requests_total\{.*\} (\S+)$", page, re.MULTILINE)
    return sum(map(float, lines))


def test_somebody_is_told_of_a_frozen_engine(stack: Composed) -> None:
    """The alert comes as a mail and as a webhook that names the server, and so does its end."""
    about = f"BackendStalled {FROZEN}:8000"
    stack.until(lambda: "BackendStalled" not in firing(stack), "nothing is wrong")
    before = max((each["number"] for each in kept(stack)), default=0)
    stack.change(FROZEN, fault="freeze_engine")
    try:
        stack.until(lambda: told(stack, f"firing {about}", before), "the webhook is called")
        stack.until(lambda: told(stack, "BackendStalled", before, "mail"), "a mail comes")
    finally:
        stack.change(FROZEN, fault="none")
    stack.until(lambda: told(stack, f"resolved {about}", before), "the end is told", timeout_s=180)


def firing(stack: Composed) -> list[str]:
    """Names of the alerts that fire."""
    alerts = asked(stack, "/api/v1/alerts")["alerts"]
    return [each["labels"]["alertname"] for each in alerts if each["state"] == "firing"]


def kept(stack: Composed) -> list[dict[str, Any]]:
    """What came to the inbox last, the newest first."""
    return list(json.loads(stack.answer("inbox", "/") or "[]"))


def told(stack: Composed, words: str, before: int, kind: str = "webhook") -> bool:
    """Whether the inbox has got such a title after the piece of this number."""
    new = [each for each in kept(stack) if each["number"] > before]
    return any(each["kind"] == kind and words in each["title"] for each in new)


def test_grafana_finds_its_files_where_it_looks(stack: Composed) -> None:
    """Datasources, the provider and the dashboards are mounted at the paths that are configured."""
    variables = dict(each.split("=", 1) for each in stack.inspect("grafana")["Config"]["Env"])
    provisioning = variables["GF_PATHS_PROVISIONING"]
    # Where Grafana's documentation has them: one directory for each kind.
    assert provisioning == "/etc/grafana/provisioning"
    for kind in ("datasources", "dashboards"):
        own = sorted(path.name for path in (ROOT / "grafana/provisioning" / kind).iterdir())
        assert stack.run_in("grafana", "ls", f"{provisioning}/{kind}").split() == own
    home = variables["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(variables["DASHBOARDS_PATH"])
    board = json.loads(stack.run_in("grafana", "cat", home))
    assert board["uid"] == "lb-fleet"


def test_grafana_is_in_no_network_with_the_servers(stack: Composed) -> None:
    """Clients reach Grafana, and it does not know the servers; Nginx does."""
    assert FROZEN in stack.run_in(NGINX, "getent", "hosts", FROZEN)
    with pytest.raises(subprocess.CalledProcessError):
        stack.run_in("grafana", "getent", "hosts", FROZEN)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "deploy/compose").glob("*.env")), ids=lambda f: f.name
)
def test_docker_takes_every_profile(engine: None, file: Path) -> None:
    """`docker compose config` accepts the file with the variables of each profile."""
    del engine
    subprocess.run(
        ["docker", "compose", "--env-file", file, "config"],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
