"""docker-compose.yml keeps its promises in every profile: restricted, bounded, pinned, checked."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.app.environment import VARIABLES

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENVIRONMENTS = [ROOT / ".env", *sorted((ROOT / "deploy/compose").glob("*.env"))]
# Images of engines run as root and write where they like; they are not ours to restrict further.
ENGINES = {name for name in SERVICES if re.match(r"vllm-(gpu|cpu)-|sglang-", name)}
OURS = sorted(SERVICES.keys() - ENGINES)
# Its image holds one program and nothing that could ask it.
UNCHECKED = {"nginx-exporter"}
# A client has no port, and is watched by nobody.
CLIENTS = {"load"}
PINNED = re.compile(r"[^:@]+(/[^:@]+)*:v?\d+\.\d+\.\d+(-alpine)?")
PUBLISHED = {"nginx", "grafana"}


def default(text: str) -> str:
    """What a text is without any variable set."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)


def variables(file: Path) -> dict[str, str]:
    """What an environment file sets."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_restricted(name: str) -> None:
    """No capability, no new privilege, a read-only root file system, a restart after an end."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert not {"privileged", "cap_add", "pid", "network_mode", "user"} & service.keys()


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_bounded(name: str) -> None:
    """Memory, processor time, processes and logs have limits."""
    assert {"mem_limit", "cpus", "pids_limit"} <= SERVICES[name].keys()
    assert SERVICES[name]["logging"]["options"]["max-size"] == "10m"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_is_pinned(name: str) -> None:
    """An image has the number of a version, by default and in the files of variables."""
    assert PINNED.fullmatch(default(SERVICES[name]["image"]))


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - UNCHECKED - CLIENTS))
def test_a_service_says_whether_it_is_well(name: str) -> None:
    """It has a health check, in its image when that is built here, else in this file."""
    service = SERVICES[name]
    built = service.get("build", {}).get("dockerfile")
    if "healthcheck" not in service:
        assert built is not None
        assert "\nHEALTHCHECK " in (ROOT / built).read_text()
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_only_the_entry_point_and_grafana_are_published(name: str) -> None:
    """And these on loopback, unless LB_ADDRESS says otherwise."""
    ports = [default(port) for port in SERVICES[name].get("ports", [])]
    assert bool(ports) == (name in PUBLISHED)
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_mounted_exists_and_is_no_socket(name: str) -> None:
    """A file or directory of this project, read-only, or a volume that the file declares."""
    for mount in SERVICES[name].get("volumes", []):
        source, _, options = default(mount).partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists() or "secrets/" in source
            assert options.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_networks_are_apart() -> None:
    """Clients reach Nginx and Grafana alone, and of the stack only who must reaches the servers."""
    members: dict[str, set[str]] = {name: set() for name in COMPOSE["networks"]}
    for name, service in SERVICES.items():
        for network in service["networks"]:
            members[network].add(name)
    assert members["edge"] == PUBLISHED | CLIENTS
    servers = {name for name in SERVICES if name.startswith(("vllm-", "sglang-"))}
    assert members["backends"] - servers == {"nginx", "controller", "prometheus", *CLIENTS}
    assert not servers & members["control"]


def test_only_the_controller_writes_requests_and_only_nginx_the_rest() -> None:
    """Each of the volumes between them has one writer."""
    writers: dict[str, list[str]] = {"request": [], "answer": [], "live": []}
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source, *rest = mount.split(":")
            if source in writers and rest[-1] != "ro":
                writers[source].append(name)
    assert writers == {"request": ["controller"], "answer": ["nginx"], "live": ["nginx"]}


def test_the_controller_gets_variables_that_it_knows() -> None:
    """No variable of the controller is misspelt."""
    assert SERVICES["controller"]["environment"].keys() <= {each.name for each in VARIABLES}


@pytest.mark.parametrize(
    ("service", "script"),
    [
        ("nginx", "deploy/nginx/render.sh deploy/nginx/40-vllm-nginx-lb.sh"),
        ("alertmanager", "deploy/alertmanager/render.sh deploy/alertmanager/start.sh"),
    ],
)
def test_a_script_gets_variables_that_it_knows(service: str, script: str) -> None:
    """No variable of a container's script is misspelt."""
    known = "\n".join((ROOT / each).read_text() for each in script.split())
    unknown = [
        name
        for name in SERVICES[service]["environment"]
        if not re.search(rf"\b{name}=|\${name}\b", known)
    ]
    assert unknown == []


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.name)
def test_a_file_of_variables_names_what_is_there(file: Path) -> None:
    """Every variable is used, and what it names of this project exists."""
    text = (ROOT / "docker-compose.yml").read_text()
    chosen = variables(file)
    passed = {name for each in SERVICES.values() for name in each.get("environment", {})}
    for name, value in chosen.items():
        named = re.search(rf"\$\{{{name}[:}}]", text)
        used = name in passed or named is not None or name.startswith("COMPOSE_")
        assert used, f"{name} is used by nobody"
        if value.startswith("./"):
            assert (ROOT / value).is_dir()


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.name)
def test_backends_are_the_servers_of_the_profile(file: Path) -> None:
    """Nginx, the controller and Prometheus get the same servers: those that the profile starts."""
    chosen = variables(file)
    profile = chosen.get("COMPOSE_PROFILES")
    backends = chosen["LB_BACKENDS"].split()
    if profile is None:
        assert {name for name, each in SERVICES.items() if "profiles" not in each} == {
            "nginx",
            "controller",
        }
        return
    started = {
        name
        for name, each in SERVICES.items()
        if profile in each.get("profiles", []) and name.startswith(("vllm-", "sglang-"))
    }
    assert {backend.split(":")[0] for backend in backends} == started
    (scraped,) = yaml.safe_load((ROOT / chosen["LB_TARGETS"] / "engines.yml").read_text())
    assert scraped["targets"] == backends
    assert scraped["labels"]["job"] == chosen.get("LB_ENGINE", "vllm")


def test_the_demo_is_a_project_of_its_own() -> None:
    """Its load and its servers are not left in front of, or behind, another profile."""
    projects = {file.name: variables(file)["COMPOSE_PROJECT_NAME"] for file in ENVIRONMENTS}
    demo = projects.pop(".env")
    assert demo not in projects.values()


def test_five_lines_serve_four_ports() -> None:
    """Who has four ports of another host and a Prometheus sets five variables."""
    assert len(variables(ROOT / "deploy/compose/external.env")) == 5


def test_prometheus_asks_every_part() -> None:
    """Each target is a service that Prometheus reaches, and jobs are those of the rules."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    here = set(SERVICES["prometheus"]["networks"])
    jobs = set()
    for job in config["scrape_configs"]:
        jobs.add(job["job_name"])
        for group in job.get("static_configs", []):
            for target in group["targets"]:
                host = target.split(":")[0]
                assert host == "127.0.0.1" or here & set(SERVICES[host]["networks"])
    expected = {"engines", "vllm-nginx-lb", "nginx-log", "nginx", "alertmanager", "prometheus"}
    assert jobs == expected
