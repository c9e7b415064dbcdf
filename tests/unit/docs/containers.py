"""What commands of Docker and Compose name: subcommands, our services, profiles and images."""

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from scripts.check_docs import ROOT
from tests.unit.docs.arguments import Arguments, Tree, is_meant, parted, unknown

_GLOBAL = frozenset({"-c", "-H", "-l", "--config", "--context", "--host", "--log-level"})
_DOCKER = Tree.of(
    "attach build builder(build prune) commit compose"
    " container(cp exec inspect kill logs ls prune restart rm start stats stop top)"
    " context(create inspect ls rm show use) cp create diff events exec export history"
    " image(build history inspect load ls prune pull push rm save tag) images import info inspect"
    " kill load login logout logs manifest network(connect create disconnect inspect ls prune rm)"
    " pause plugin port ps pull push rename restart rm rmi run save search start stats stop"
    " system(df events info prune) tag top unpause update version"
    " volume(create inspect ls prune rm) wait buildx help swarm stack service secret node"
)
_COMPOSE_GLOBAL = frozenset(
    {
        *("-f", "-p", "--ansi", "--env-file", "--file", "--parallel", "--profile"),
        *("--progress", "--project-directory", "--project-name"),
    }
)
_RUN = frozenset(
    {
        *("-e", "-l", "-p", "-u", "-v", "-w", "--entrypoint", "--env", "--index", "--label"),
        *("--name", "--publish", "--user", "--volume", "--workdir"),
    }
)
# The subcommands, with those of their options whose value is a word of its own.
_COMPOSE: Mapping[str, frozenset[str]] = {
    "build": frozenset({"-m", "--build-arg", "--memory", "--progress", "--ssh"}),
    "config": frozenset({"-o", "--format", "--hash", "--output"}),
    "cp": frozenset({"--index"}),
    "create": frozenset({"--pull", "--scale"}),
    "down": frozenset({"-t", "--rmi", "--timeout"}),
    "events": frozenset(),
    "exec": _RUN,
    "help": frozenset(),
    "images": frozenset({"--format"}),
    "kill": frozenset({"-s", "--signal"}),
    "logs": frozenset({"-n", "--index", "--since", "--tail", "--until"}),
    "ls": frozenset({"--filter", "--format"}),
    "pause": frozenset(),
    "port": frozenset({"--index", "--protocol"}),
    "ps": frozenset({"--filter", "--format", "--status"}),
    "pull": frozenset({"--policy"}),
    "push": frozenset(),
    "restart": frozenset({"-t", "--timeout"}),
    "rm": frozenset(),
    "run": _RUN,
    "scale": frozenset(),
    "start": frozenset(),
    "stop": frozenset({"-t", "--timeout"}),
    "top": frozenset(),
    "unpause": frozenset(),
    "up": frozenset(
        {
            *("-t", "--attach", "--exit-code-from", "--no-attach", "--pull", "--scale"),
            *("--timeout", "--wait-timeout"),
        }
    ),
    "version": frozenset({"-f", "--format"}),
    "wait": frozenset(),
}
# What their words name is no service.
_NO_SERVICES = frozenset({"help", "ls", "version"})
_IMAGE = re.compile(r"vllm-nginx-lb/([\w.-]+)(?::(\S+))?")


@functools.cache
def services() -> Mapping[str, Any]:
    """The services of docker-compose.yml."""
    found: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def profiles() -> frozenset[str]:
    """The profiles of docker-compose.yml."""
    return frozenset(name for each in services().values() for name in each.get("profiles", ()))


def images() -> frozenset[str]:
    """The last parts of the names of the images that deploy/images builds."""
    return frozenset(path.stem for path in (ROOT / "deploy/images").glob("*.Dockerfile"))


def docker_faults(arguments: Sequence[str]) -> Iterator[str]:
    """What a command of Docker names that is not there; of `compose` only that it exists."""
    words = parted(arguments, _GLOBAL, leading=True).words
    fault = unknown("docker", words, _DOCKER)
    if fault:
        yield fault
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for found in filter(None, map(_IMAGE.fullmatch, arguments)):
        if found[1] not in images() or found[2] not in {None, version}:
            known = ", ".join(sorted(images()))
            yield f"{found[0]}: we build {known}, each in version {version}"


def compose_command(arguments: Sequence[str]) -> tuple[str, Arguments]:
    """The subcommand of Compose, which may be empty, with its own arguments."""
    subcommand, *left = parted(arguments, _COMPOSE_GLOBAL, leading=True).words or [""]
    with_value = _COMPOSE.get(subcommand, frozenset())
    return subcommand, parted(left, with_value, leading=subcommand in {"exec", "run"})


def compose_faults(arguments: Sequence[str]) -> Iterator[str]:
    """Subcommands, profiles and services that Compose or docker-compose.yml have not."""
    for each in parted(arguments, _COMPOSE_GLOBAL, leading=True).values("--profile"):
        if each not in profiles() | {"*"}:
            yield f"docker-compose.yml has no profile {each}"
    subcommand, inner = compose_command(arguments)
    if is_meant(subcommand) and subcommand not in _COMPOSE:
        yield f"docker compose has no subcommand {subcommand}"
        return
    for each in _named(subcommand, inner):
        if is_meant(each) and each not in services():
            yield f"docker-compose.yml has no service {each}"


def _named(subcommand: str, inner: Arguments) -> Iterator[str]:
    """What stands where a service does."""
    scaled = [value.partition("=")[0] for name, value in inner.options if name == "--scale"]
    yield from (*scaled, *inner.values("--attach", "--no-attach", "--exit-code-from"))
    if subcommand in {"exec", "port", "run"}:
        yield from inner.words[:1]
    elif subcommand == "cp":
        yield from (word.partition(":")[0] for word in inner.words if re.match(r"[\w-]+:", word))
    elif subcommand not in _NO_SERVICES:
        yield from (word.partition("=")[0] for word in inner.words)
