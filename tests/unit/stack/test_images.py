"""What can be said of the images without building one."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.utils.build import exclude_paths  # type: ignore[import-untyped]  # it ships no types

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "deploy" / "images"
IN_CONTAINERS = sorted((ROOT / "tests" / "stack").glob("test_*.py"))
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))
NAMES = [path.stem for path in DOCKERFILES]
SCRIPTS = [
    *sorted((ROOT / "scripts").glob("*.sh")),
    *sorted(IMAGES.rglob("*.sh")),
]
# What the image of the simulator is started with.
STARTED = ("simulator.server", "lab.stack.load", "lab.stack.inbox")
# A version, with what may follow it; Debian's releases have names.
PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+(-[\w.-]+)?|debian:bookworm-slim")
PUBLIC = re.compile(r"\$\{[A-Z_]+:-((?!vllm-nginx-lb/|vllm|lmsysorg/)[\w./-]+:[\w.-]+)\}")
# Distributions whose modules have other names.
MODULES = {"prometheus-api-client": "prometheus_api_client", "pyyaml": "yaml"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments, each on one line."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (word, rest)
        for line in text.splitlines()
        if line
        for word, _, rest in [line.partition(" ")]
    ]


def arguments(path: Path) -> dict[str, str]:
    """The build arguments of a Dockerfile that have a default."""
    given = [rest for word, rest in instructions(path) if word == "ARG" and "=" in rest]
    return dict(each.split("=", 1) for each in given)


def bases(path: Path) -> set[str]:
    """The images that a Dockerfile begins with, by default."""
    values = arguments(path)
    froms = [rest.split()[0] for word, rest in instructions(path) if word == "FROM"]
    return {re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], each) for each in froms}


def sources(path: Path) -> Iterator[str]:
    """What a Dockerfile copies out of the project."""
    for word, rest in instructions(path):
        if word == "COPY" and not rest.startswith("--from"):
            yield from rest.split()[:-1]


def context(tree: Path = ROOT) -> set[str]:
    """The files of a tree that a build of it sees, as .dockerignore says."""
    patterns = (ROOT / ".dockerignore").read_text().splitlines()
    seen = exclude_paths(str(tree), patterns)
    # It is always sent itself.
    return {each for each in seen if (tree / each).is_file()} - {".dockerignore"}


def pins(lock: Path) -> dict[str, str]:
    """The versions in a lock."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE))


def file_of(module: str) -> Path | None:
    """The file of one of our modules."""
    place = ROOT.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def imports(path: Path) -> Iterator[str]:
    """The modules that a module imports when it runs, and the packages they are in."""
    tree = ast.parse(path.read_text())
    for node in typed_only(tree.body):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def typed_only(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes, without those that only a type checker sees."""
    for statement in body:
        if not (isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test)):
            yield from ast.walk(statement)


def closure(started: Iterable[str]) -> tuple[set[str], set[str]]:
    """The files of ours that modules need, relative to the project, and the foreign packages."""
    files: set[str] = set()
    foreign: set[str] = set()
    waiting = [part for name in started for part in (name, name.split(".")[0])]
    while waiting:
        path = file_of(waiting.pop())
        if path is None or str(path.relative_to(ROOT)) in files:
            continue
        files.add(str(path.relative_to(ROOT)))
        for name in imports(path):
            waiting.append(name)
            if "." not in name and file_of(name) is None and name not in sys.stdlib_module_names:
                foreign.add(name)
    return files, foreign


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_every_base_is_pinned(path: Path) -> None:
    """No build begins with whatever is newest today."""
    assert bases(path)
    assert [each for each in bases(path) if not PINNED.fullmatch(each)] == []


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_a_dockerfile_needs_no_buildkit(path: Path) -> None:
    """The builder of docker-compose 1.29 knows no mounts, no here-documents and no syntax line."""
    text = path.read_text()
    assert not re.search(r"--mount|<<|^# *syntax|COPY .*--(link|chmod|exclude)", text, re.MULTILINE)


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_an_image_ends_as_a_user_with_a_number_and_has_a_health_check(path: Path) -> None:
    """A number can be checked by Kubernetes, which a name cannot; root appears only before it."""
    users = [rest for word, rest in instructions(path) if word == "USER"]
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1])
    assert "HEALTHCHECK" in {word for word, _ in instructions(path)}


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_a_label_names_the_version_of_the_project(path: Path) -> None:
    """The version in the label is that of pyproject.toml."""
    labels = " ".join(rest for word, rest in instructions(path) if word == "LABEL")
    assert f'org.opencontainers.image.version="{PYPROJECT["project"]["version"]}"' in labels


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_every_stage_bears_a_label_by_which_it_is_tidied_away(path: Path) -> None:
    """The last stage says which image it is, and one before it says for which it is made."""
    *before, last = re.split(r"^FROM .*$", path.read_text(), flags=re.MULTILINE)[1:]
    assert f'vllm-nginx-lb.image="{path.stem}"' in last
    assert len(before) < 2
    # As the last instruction, so that the stage itself has it.
    assert all(each.rstrip().endswith(f'vllm-nginx-lb.stage="{path.stem}"') for each in before)


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_what_is_copied_is_there_and_seen_by_the_build(path: Path) -> None:
    """Each source of a COPY exists, and .dockerignore lets it through."""
    seen = context()
    unseen = [
        each
        for each in sources(path)
        if each not in seen and not any(name.startswith(f"{each}/") for name in seen)
    ]
    assert unseen == []


def test_a_build_sees_nothing_else() -> None:
    """Neither tests, history, documents and results nor bytecode are sent to the engine."""
    allowed = (
        "controller/",
        "simulator/",
        "lab/",
        "deploy/images/",
        "deploy/nginx/",
        "deploy/mtail/",
    )
    files = {"LICENSE", "README.md", "pyproject.toml", "requirements.lock"}
    beyond = [
        each
        for each in context()
        if not (each.startswith(allowed) or each in files) or "__pycache__" in each
    ]
    assert beyond == []


def test_what_lies_about_in_a_tree_is_kept_out(tmp_path: Path) -> None:
    """Environments, bytecode, history, secrets and results stay out, and sources are let in."""
    wanted = {"LICENSE", "controller/core/model.py", "deploy/images/wheels/x.whl", "lab/load.py"}
    others = {
        ".env",
        ".git/config",
        ".venv/bin/python",
        "bench/results/latest.md",
        "controller/core/__pycache__/model.cpython-311.pyc",
        "controller/model.pyc",
        "deploy/compose/secrets/controller/token",
        "deploy/kubernetes/base/secret.yaml",
        "lab/demo/play.py",
        "simulator/fleet/__pycache__/machine-code/x.nbc",
        "tests/unit/test_project.py",
        "vllm_nginx_lb.egg-info/PKG-INFO",
    }
    for name in wanted | others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert context(tmp_path) == wanted


def test_the_image_of_the_simulator_has_what_its_programs_import() -> None:
    """Every module that they need is let through, and every foreign package is pinned."""
    files, foreign = closure(STARTED)
    assert {"lab/load.py", "simulator/engine.py"} <= files
    assert files <= context()
    group = {re.split(r"[<>=]", each)[0] for each in PYPROJECT["dependency-groups"]["stack"]}
    assert foreign == {MODULES.get(name, name.replace("-", "_")) for name in group}
    assert group <= pins(IMAGES / "simulator.lock").keys()


def test_the_image_of_the_controller_has_what_it_imports() -> None:
    """Every foreign package that the controller imports is a requirement that is pinned."""
    started = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "controller").rglob("*.py")
    ]
    _, foreign = closure(started)
    wanted = {re.split(r"[<>=]", each)[0] for each in PYPROJECT["project"]["dependencies"]}
    modules = {MODULES.get(name, name.replace("-", "_")) for name in wanted}
    # These come with another one that is a requirement.
    assert foreign - modules <= {"pydantic_core", "urllib3"}
    assert wanted <= pins(ROOT / "requirements.lock").keys()


@pytest.mark.parametrize("lock", ["build.lock", "simulator.lock"])
def test_an_image_ships_the_versions_that_were_tested(lock: str) -> None:
    """The locks of images pin what requirements-dev.lock pins; run `make lock`."""
    tested = pins(ROOT / "requirements-dev.lock")
    shipped = pins(IMAGES / lock)
    assert shipped
    assert {name: tested.get(name) for name in shipped} == shipped


def test_images_are_built_with_the_build_backend_of_the_project() -> None:
    """The group behind build.lock is what build-system requires."""
    assert PYPROJECT["dependency-groups"]["build"] == PYPROJECT["build-system"]["requires"]


def test_there_is_a_stand_in_for_every_public_image() -> None:
    """What builds and docker-compose.yml take from a registry can be made without one."""
    script = (ROOT / "scripts" / "stand-in-images.sh").read_text()
    made = set(re.findall(r"^[a-z]+=((?!vllm-nginx-lb/)[\w./-]+:[\w.-]+)$", script, re.MULTILINE))
    built_on = set().union(*(bases(path) for path in DOCKERFILES))
    run_beside = set(PUBLIC.findall((ROOT / "docker-compose.yml").read_text()))
    assert made == built_on | run_beside


@pytest.mark.parametrize("path", IN_CONTAINERS, ids=lambda path: path.stem)
def test_whoever_wants_no_servers_gets_no_containers(path: Path) -> None:
    """`make unit` leaves out what is marked as an integration test, so all of tests/stack is."""
    (marks,) = re.findall(r"^pytestmark = (.+)$", path.read_text(), re.MULTILINE)
    assert "pytest.mark.integration" in marks


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_is_sound_and_may_be_run(path: Path) -> None:
    """It parses, stops at the first error, and can be executed."""
    subprocess.run(["sh", "-n", path], check=True)
    assert re.search(r"^set -eu$", path.read_text(), re.MULTILINE)
    assert path.stat().st_mode & 0o111
