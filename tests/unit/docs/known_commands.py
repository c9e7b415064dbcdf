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
import yaml

from controller.app.cli import app
from scripts.check_docs import ROOT, targets
from tests.unit.docs.programs import PROGRAMS
from tests.unit.docs.shell import Command, commands

MAKEFILE = (ROOT / "Makefile").read_text()
# Programs of our environment, by the last part of their path.
ENVIRONMENT = frozenset({"python", "python3", "pip", "pytest", "pre-commit", "ruff", "mypy"})
OWN = "vllm-nginx-lb"
OTHER_MODULES = frozenset({"venv", "pip", "http.server", "json.tool", "build", "pytest"})
TOP = tuple(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."))
IN_PROJECT = re.compile(
    rf"(?:\./)?((?:{'|'.join(TOP)})/[\w./*-]*|requirements[\w.-]*|docker-compose[\w.-]*\.ya?ml)"
)
OPTION = re.compile(r"(--[a-z][a-z0-9-]*)(?:=.*)?", re.DOTALL)
# The last word of these is what they make.
MAKERS = frozenset({"cp", "install", "ln", "mkdir", "mv", "touch"})
# Options of programs that run another whose value is a word of its own.
WITH_VALUE = {
    "sudo": {"-u", "-g"},
    "env": {"-u"},
    "timeout": {"-k", "-s"},
    "xargs": {"-n", "-P", "-I", "-d", "-L"},
    "watch": {"-n"},
    "compose": {"-f", "-p", "--file", "--profile", "--env-file", "--project-name"},
    "compose exec": {"-u", "-e", "-w", "--user", "--env", "--workdir"},
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
    elif program not in PROGRAMS and program not in ENVIRONMENT and not program.startswith("$"):
        yield f"{program}: no program that a page may name; see PROGRAMS"


def _missing_files(words: Sequence[str]) -> Iterator[str]:
    """Files of the project that are named and are not there; what is made need not be."""
    program = words[0]
    for before, word in itertools.pairwise(("", *words)):
        found = IN_PROJECT.fullmatch(word.rpartition("=")[2])
        # `deploy/NAME` is a Deployment to kubectl.
        if not found or (program == "kubectl" and before not in {"-f", "-k", "--filename"}):
            continue
        path = found[1].rstrip("/")
        if program in MAKERS and word is words[-1]:
            path = path.rpartition("/")[0]
        if path and not path.startswith("build/") and not any(ROOT.glob(path)):
            yield f"{path}: no such file in the project"


def _inner(words: Sequence[str], program: str) -> list[str]:
    """The command behind the options, and variables, of a program that runs another."""
    left = list(words)
    while left and (left[0].startswith("-") or re.match(r"\w+=", left[0])):
        option = left.pop(0)
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
        name, is_variable, _ = word.partition("=")
        if is_variable:
            if not re.search(rf"^{name} \?=", MAKEFILE, re.MULTILINE):
                yield f"make has no variable {name}"
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
    if name == "controller":
        yield from _own(arguments)
        return
    path = ROOT / name.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        yield f"python -m {name}: no such module"
    elif "argparse" in file.read_text():
        options = [found[1] for word in arguments if (found := OPTION.fullmatch(word))]
        unknown = [each for each in options if each not in _help(name)]
        yield from (f"python -m {name} has no option {each}" for each in unknown)
    else:
        yield from _options_in(file, arguments)


@functools.cache
def _help(module: str) -> frozenset[str]:
    """The options that a module of ours tells of."""
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


def _docker(arguments: Sequence[str]) -> Iterator[str]:
    if arguments and arguments[0] == "compose":
        yield from _compose(arguments[1:])


def _compose(arguments: Sequence[str]) -> Iterator[str]:
    left = _inner(arguments, "compose")
    if left[:1] in (["exec"], ["run"]):
        service, *inner = _inner(left[1:], "compose exec") or [""]
        if service not in _services():
            yield f"docker-compose.yml has no service {service}"
        # What is run is given to the entry point of the image; only the controller's is ours.
        if left[0] == "exec" or service == "controller":
            yield from _of_inner(inner if left[0] == "exec" else [OWN, *inner])
    elif left[:1] in (["logs"], ["restart"], ["stop"], ["start"], ["kill"], ["pause"], ["unpause"]):
        named = {word for word in left[1:] if re.fullmatch(r"[a-z][a-z0-9-]*", word)}
        yield from (f"docker-compose.yml has no service {each}" for each in named - _services())


@functools.cache
def _services() -> frozenset[str]:
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return frozenset(composed["services"])


def _kubectl(arguments: Sequence[str]) -> Iterator[str]:
    if "exec" in arguments and "--" in arguments:
        yield from _of_inner(arguments[list(arguments).index("--") + 1 :])


CHECKS: dict[str, Callable[[Sequence[str]], Iterator[str]]] = {
    OWN: _own,
    "make": _make,
    "python": _python,
    "python3": _python,
    "docker": _docker,
    "docker-compose": _compose,
    "kubectl": _kubectl,
    "sh": _shell,
    "bash": _shell,
    **{
        name: _wrapper(name)
        for name in ("sudo", "env", "exec", "nohup", "timeout", "xargs", "watch")
    },
}
