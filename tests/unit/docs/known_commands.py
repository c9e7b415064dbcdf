"""Which programs a page may name, and whether our own have what a page tells them."""

import ast
import functools
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer.core
import typer.exceptions
import typer.main

from controller.app.cli import app
from scripts.check_docs import ROOT, targets
from tests.unit.docs import cluster, containers, monitoring, own_scripts, units
from tests.unit.docs.programs import PROGRAMS
from tests.unit.docs.shell import Command, commands

MAKEFILE = (ROOT / "Makefile").read_text()
# Programs of our environment, by the last part of their path.
ENVIRONMENT = frozenset({"python", "python3", "pip", "pytest", "pre-commit", "ruff", "mypy"})
OWN = "vllm-nginx-lb"
OTHER_MODULES = frozenset({"venv", "pip", "http.server", "json.tool", "build"})
TOP = tuple(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."))
IN_PROJECT = re.compile(
    rf"(?:\./)?((?:{'|'.join(TOP)})/[\w./*-]*|requirements[\w.-]*|docker-compose[\w.-]*\.ya?ml)"
)
OPTION = re.compile(r"(--[a-z][a-z0-9-]*)(?:=.*)?", re.DOTALL)
# The last word of these is what they make.
MAKERS = frozenset({"cp", "install", "ln", "mkdir", "mv", "touch"})
# Variables of the Makefile, with the module that their value goes to.
OF_VARIABLES = {"PYTEST_ARGS": "pytest", "REAL_ARGS": "bench.real"}
# Options of programs that run another whose value is a word of its own.
WITH_VALUE = {
    "sudo": {"-u", "-g"},
    "env": {"-u"},
    "timeout": {"-k", "-s"},
    "runuser": {"-u", "-g"},
    "xargs": {"-n", "-P", "-I", "-d", "-L"},
    "watch": {"-n"},
}


def faults_of(command: Command) -> Iterator[str]:
    """What a command names that is not there."""
    if not command.words:
        return
    program, *arguments = command.words
    yield from _missing_files(command.words)
    for name in ENVIRONMENT:
        if "/" in program and program.endswith(f"/bin/{name}"):
            program = name
    if program.endswith(f"/bin/{OWN}"):
        program = OWN
    if program in CHECKS:
        yield from CHECKS[program](arguments)
    elif "/" in program and not program.startswith(("/", "~")):
        if not (ROOT / program).is_file():
            yield f"{program}: no such file in the project"
        else:
            yield from _options_in(ROOT / program, arguments)
            yield from own_scripts.faults(program, arguments)
    elif program not in PROGRAMS and program not in ENVIRONMENT and not program.startswith("$"):
        yield f"{program}: no program that a page may name; see PROGRAMS"


def _missing_files(words: Sequence[str]) -> Iterator[str]:
    """Files of the project that are named and are not there; what is made need not be."""
    program = words[0]
    for before, word in itertools.pairwise(("", *words)):
        found = IN_PROJECT.fullmatch(word.rpartition("=")[2])
        # `deploy/NAME` is a Deployment to kubectl, and `logs -f` follows.
        is_file = before in {"-f", "-k", "--filename", "kustomize"} and "logs" not in words
        if not found or (program == "kubectl" and not is_file):
            continue
        path = found[1].rstrip("/")
        if program in MAKERS and word is words[-1]:
            path = path.rpartition("/")[0]
        # What is built, and a reader's own copy of an overlay.
        own = path.startswith(("build/", "deploy/kubernetes/overlays/mine"))
        if path and not own and not any(ROOT.glob(path)):
            yield f"{path}: no such file in the project"


def _inner(words: Sequence[str], program: str) -> list[str]:
    """The command behind the options, and variables, of a program that runs another."""
    left = list(words)
    while left and (left[0].startswith("-") or re.match(r"\w+=", left[0])):
        option = left.pop(0)
        if option == "--":
            break
        if option in WITH_VALUE.get(program, ()) and left:
            left.pop(0)
    # The first word of timeout that is no option is a time.
    return left[1:] if program == "timeout" else left


def _of_inner(words: Sequence[str]) -> Iterator[str]:
    if words:
        yield from faults_of(Command(tuple(words)))


def _wrapper(program: str) -> Callable[[Sequence[str]], Iterator[str]]:
    return lambda arguments: _of_inner(_inner(arguments, program))


def _shell(arguments: Sequence[str]) -> Iterator[str]:
    for flag, script in itertools.pairwise(arguments):
        if re.fullmatch(r"-[a-z]*c", flag):
            for command in commands(script):
                yield from faults_of(command)
            return


def _make(arguments: Sequence[str]) -> Iterator[str]:
    for word in arguments:
        name, is_variable, value = word.partition("=")
        if is_variable:
            if not re.search(rf"^{name} \?=", MAKEFILE, re.MULTILINE):
                yield f"make has no variable {name}"
            elif name in OF_VARIABLES:
                yield from _module(OF_VARIABLES[name], shlex.split(value))
        elif word[0] != "-" and word not in targets(MAKEFILE):
            yield f"make {word}: no such target"


def _own(arguments: Sequence[str]) -> Iterator[str]:
    """Our own command: parsed as it would be, and not run."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    if not arguments or arguments[0] == "--help":
        return
    command = group.commands.get(arguments[0])
    if command is None:
        yield f"{OWN} has no command {arguments[0]}"
    elif "--help" not in arguments:
        try:
            command.make_context(arguments[0], list(arguments[1:]))
        except typer.exceptions.TyperException as error:
            yield f"{OWN} {shlex.join(arguments)}: {error}"


def _python(arguments: Sequence[str]) -> Iterator[str]:
    if not arguments:
        return
    first, rest = arguments[0], list(arguments[1:])
    if first == "-c" and rest:
        try:
            ast.parse(rest[0])
        except SyntaxError as error:
            yield f"python -c: {error}"
    elif first == "-m" and rest:
        yield from _module(rest[0], rest[1:])
    elif not first.startswith("-") and not (ROOT / first).is_file():
        yield f"python {first}: no such file in the project"


def _module(name: str, arguments: Sequence[str]) -> Iterator[str]:
    if name in OTHER_MODULES:
        return
    if name in OF_MODULES:
        yield from OF_MODULES[name](arguments)
        return
    path = ROOT / name.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        yield f"python -m {name}: no such module"
    elif "argparse" in file.read_text():
        yield from _unknown_options(name, arguments)
    else:
        yield from _options_in(file, arguments)


def _unknown_options(module: str, arguments: Sequence[str]) -> Iterator[str]:
    options = [found[1] for word in arguments if (found := OPTION.fullmatch(word))]
    unknown = [each for each in options if each not in _help(module)]
    yield from (f"python -m {module} has no option {each}" for each in unknown)


@functools.cache
def _help(module: str) -> frozenset[str]:
    """The options that a module tells of."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(re.findall(r"--[a-z][a-z0-9-]*", done.stdout))


def _options_in(script: Path, arguments: Sequence[str]) -> Iterator[str]:
    """Options of a script of ours without a parser: it must at least mention them."""
    text = script.read_text()
    for word in arguments:
        found = OPTION.fullmatch(word)
        if found and not re.search(rf"{re.escape(found[1])}\b", text):
            yield f"{script.relative_to(ROOT)} has no option {found[1]}"


def _pytest(arguments: Sequence[str]) -> Iterator[str]:
    yield from _unknown_options("pytest", arguments)


def _docker(arguments: Sequence[str]) -> Iterator[str]:
    yield from containers.docker_faults(arguments)
    if arguments and arguments[0] == "compose":
        yield from _compose(arguments[1:])


def _compose(arguments: Sequence[str]) -> Iterator[str]:
    yield from containers.compose_faults(arguments)
    subcommand, given = containers.compose_command(arguments)
    service, *inner = given.words or [""]
    if subcommand == "exec":
        yield from _of_inner(inner)
    elif subcommand == "run" and service == "controller":
        # What is run is given to the entry point of the image; only the controller's is ours.
        yield from _own(inner)


def _kubectl(arguments: Sequence[str]) -> Iterator[str]:
    yield from cluster.kubectl_faults(arguments)
    yield from _of_inner(cluster.run_in_pod(arguments))


CHECKS: dict[str, Callable[[Sequence[str]], Iterator[str]]] = {
    OWN: _own,
    "make": _make,
    "python": _python,
    "python3": _python,
    "docker": _docker,
    "docker-compose": _compose,
    "kubectl": _kubectl,
    "systemctl": units.systemctl_faults,
    "journalctl": units.journalctl_faults,
    "promtool": functools.partial(monitoring.faults, "promtool"),
    "amtool": functools.partial(monitoring.faults, "amtool"),
    "pytest": _pytest,
    "sh": _shell,
    "bash": _shell,
    **{
        name: _wrapper(name)
        for name in ("sudo", "env", "exec", "nohup", "runuser", "timeout", "xargs", "watch")
    },
}
OF_MODULES = {"controller": _own, "pytest": _pytest}
