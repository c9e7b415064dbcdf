"""Each kind of fenced block, and how a block of it is checked."""

import ast
import configparser
import functools
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import promql_parser

from scripts.check_docs import KINDS, ROOT
from scripts.inventory import inventory
from tests.unit.docs import known_commands, nginx_blocks, yaml_blocks
from tests.unit.docs.shell import commands, typed
from tests.unit.rules.known import Known, known
from tests.unit.rules.promql_checks import series_exist
from tests.unit.rules.rule_files import rules

Check = Callable[[str, Path], Iterator[str]]
# They ask a program that only a machine with servers has.
NEEDS_SERVERS = frozenset({"logrotate", "nginx", "yaml"})
# What the configuration of the controller puts into PromQL.
_PLACEHOLDERS = {"{selector}": '{job="vllm"}', "{window}": "5m"}
_INSTRUCTIONS = re.compile(
    "ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|RUN|SHELL|STOPSIGNAL|USER"
    "|VOLUME|WORKDIR|#.*"
)


def _script(text: str, _: Path) -> Iterator[str]:
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"sh -n: {done.stderr}"
        return
    for command in commands(text):
        yield from known_commands.faults_of(command)


def _console(text: str, directory: Path) -> Iterator[str]:
    script = typed(text)
    if not script:
        yield "nobody types anything: lines that are typed begin with `$ `; mere output is `text`"
    yield from _script(script, directory)


@functools.cache
def _offered() -> Known:
    return known(inventory(), rules("record"))


def _promql(text: str, _: Path) -> Iterator[str]:
    for name, value in _PLACEHOLDERS.items():
        text = text.replace(name, value)
    offered = _offered()
    for query in filter(str.strip, text.split("\n\n")):
        try:
            expression = promql_parser.parse(query)
        except ValueError as error:
            yield f"{query}: {error}"
            continue
        # ALERTS is Prometheus' own; a selector by __name__ is a question, not a claim.
        yield from (
            fault
            for fault in series_exist(expression, offered)
            if not fault.startswith("ALERTS") and "names no metric" not in fault
        )


def _python(text: str, _: Path) -> Iterator[str]:
    try:
        ast.parse(text)
    except SyntaxError as error:
        yield str(error)


def _json(text: str, _: Path) -> Iterator[str]:
    try:
        json.loads(text)
    except ValueError as error:
        yield str(error)


def _toml(text: str, _: Path) -> Iterator[str]:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        yield str(error)


def _ini(text: str, _: Path) -> Iterator[str]:
    # A key may stand there twice in a unit, and `%` means something to it.
    try:
        configparser.RawConfigParser(strict=False).read_string(text)
    except configparser.Error as error:
        yield str(error)


def _env(text: str, _: Path) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip() and not re.match(r"#|[A-Za-z_]\w*=", line.strip()):
            yield f"{line}: expected NAME=value"


def _dockerfile(text: str, _: Path) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        word, *rest = line.split() or ["#"]
        if not _INSTRUCTIONS.fullmatch(word):
            yield f"{word}: no instruction of a Dockerfile"
        if word == "COPY" and not any(each.startswith("--from") for each in rest):
            sources = [each for each in rest[:-1] if not each.startswith("--")]
            yield from (f"{each}: no such file" for each in sources if not any(ROOT.glob(each)))


def _logrotate(text: str, directory: Path) -> Iterator[str]:
    file = directory / "logrotate.conf"
    file.write_text(text)
    file.chmod(0o644)
    state = directory / "state"
    done = subprocess.run(
        ["logrotate", "-d", "-s", state, file], capture_output=True, text=True, check=False
    )
    if done.returncode or "error:" in done.stderr:
        yield done.stderr


def _http(text: str, directory: Path) -> Iterator[str]:
    head, _, body = text.partition("\n\n")
    first, *headers = head.splitlines()
    if not re.match(r"HTTP/\d(\.\d)? \d{3}\b|[A-Z]+ /\S* HTTP/", first):
        yield f"{first}: expected the first line of a request or an answer"
    yield from (f"{line}: no header" for line in headers if not re.match(r"[A-Za-z0-9-]+: ", line))
    if "application/json" in head and body.strip():
        yield from _json(body, directory)


def _nothing(_: str, __: Path) -> Iterator[str]:
    yield from ()


CHECKS: Mapping[str, Check] = {
    "console": _console,
    "diff": _nothing,
    "dockerfile": _dockerfile,
    "env": _env,
    "http": _http,
    "ini": _ini,
    "json": _json,
    "logrotate": _logrotate,
    "mermaid": _nothing,
    "nginx": nginx_blocks.faults_of,
    "promql": _promql,
    "python": _python,
    "sh": _script,
    "text": _nothing,
    "toml": _toml,
    "yaml": yaml_blocks.faults_of,
}
assert CHECKS.keys() == KINDS
