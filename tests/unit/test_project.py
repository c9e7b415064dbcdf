"""The project as a whole: commands, locks, words and form."""

import ast
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import check_docs

ROOT = check_docs.ROOT
MAKEFILE = (ROOT / "Makefile").read_text()
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Ends with a child, a daemon and a listening port left behind.
CARELESS = """
import socket, subprocess

KEPT = []

def test_careless():
    KEPT.append(subprocess.Popen(["sleep", "61"], stdout=subprocess.DEVNULL))
    subprocess.run(["sh", "-c", "sleep 62 >/dev/null 2>&1 &"], check=True)
    KEPT.append(socket.create_server(("127.0.0.1", 0)))
    print("port", KEPT[-1].getsockname()[1])
    KEPT[0].returncode = 0
"""

# Where packages and images come from is each machine's own setting.
REGISTRY = re.compile(
    r"\b(?:[\w-]+\.)*(?:pypi|pythonhosted|npmjs|dockerhub|artifactory|registry|ghcr|gcr|quay)"
    r"(?:\.[\w-]+)*\.(?:org|com|io|dev|net)\b|\bdocker\.io\b"
)
PIN = r"^([\w.-]+)(?:\[.*\])?==([^\s;\\]+)"
MACHINE_PATH = re.compile(r"(?<![\w.$}/])/(?:work|root|home|Users)/[\w.]")


def found_in_files(pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern stands in the text files of the project, as file:line: text."""
    contents = ((path, path.read_bytes()) for path in check_docs.tracked(ROOT))
    return [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path, content in contents
        if b"\0" not in content
        for number, line in enumerate(content.decode().splitlines(), start=1)
        for match in pattern.finditer(line)
    ]


def group(name: str) -> list[str]:
    """The requirements of a dependency group, with those it includes."""
    requirements: list[str] = []
    for entry in PYPROJECT["dependency-groups"][name]:
        if isinstance(entry, str):
            requirements.append(entry)
        else:
            requirements += group(entry["include-group"])
    return requirements


def pins(lock: str) -> dict[str, Version]:
    """The versions that a lock file pins, by normalised name."""
    found = re.findall(PIN, (ROOT / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def is_one_sentence(text: str) -> bool:
    """Whether a text is one sentence, ended by a full stop."""
    line = " ".join(text.split())
    return line.endswith(".") and not check_docs.SECOND_SENTENCE.search(line)


def test_make_help_shows_every_target_with_a_description() -> None:
    """A person finds each target, and what it is for, in `make help`."""
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", shown, re.MULTILINE))
    internal = {"servers", "monitoring", "logrotate"}
    assert set(listed) == set(re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, re.MULTILINE)) - internal


def test_the_hooks_are_the_parts_of_make_check() -> None:
    """What runs before a commit is what `make check` runs, so neither knows more than the other."""
    parts = re.findall(r"^check: ([^#]*)", MAKEFILE, re.MULTILINE)[0].split()
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    entries = [hook["entry"] for hook in config["repos"][0]["hooks"]]
    assert entries == [f"make --no-print-directory {part}" for part in parts]


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", PYPROJECT["project"]["dependencies"]),
        ("requirements-dev.lock", PYPROJECT["project"]["dependencies"] + group("dev")),
    ],
)
def test_the_lock_answers_every_requirement(lock: str, requirements: list[str]) -> None:
    """Each requirement of pyproject.toml is pinned in the lock to a version that it allows."""
    pinned = pins(lock)
    unanswered = [
        text
        for text in requirements
        if (wanted := Requirement(text))
        and (
            (name := canonicalize_name(wanted.name)) not in pinned
            or not wanted.specifier.contains(pinned[name], prereleases=True)
        )
    ]
    assert not unanswered, f"run `make lock`: {lock} does not answer {unanswered}"


def test_both_locks_pin_the_same_versions() -> None:
    """What is tested is what is installed."""
    tested = pins("requirements-dev.lock")
    installed = pins("requirements.lock")
    assert {name: tested.get(name) for name in installed} == installed


@pytest.mark.parametrize("pattern", [REGISTRY, MACHINE_PATH], ids=["registry", "machine path"])
def test_no_file_names_a_place_of_somebody_elses_machine(pattern: re.Pattern[str]) -> None:
    """The project can be built anywhere: no registry's host and no private directory is in it."""
    assert found_in_files(pattern) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (REGISTRY, "https://registry" + ".example.com/simple"),
        (REGISTRY, "pull ghcr" + ".io/owner/image"),
        (MACHINE_PATH, "see /home" + "/somebody/notes"),
    ],
)
def test_places_of_a_machine_are_recognised(pattern: re.Pattern[str], text: str) -> None:
    """The patterns of the rule above find what they are for."""
    assert pattern.search(text)


def test_the_version_is_the_one_released_last() -> None:
    """pyproject.toml and the newest release in CHANGELOG.md name the same version."""
    headings = re.findall(r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert released[:1] in ([], [PYPROJECT["project"]["version"]])


def test_every_test_says_in_one_sentence_what_must_hold() -> None:
    """The docstring of a test is its rule: one sentence, ended by a full stop."""
    wordless = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not is_one_sentence(ast.get_docstring(node) or "")
    ]
    assert wordless == []


def test_a_page_is_told_its_faults(tmp_path: Path) -> None:
    """Dead links, unknown targets and crowded lines are found, and good lines are not."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n"
        "See [itself](#a-page), [that](page.md#a-page) and `make test`, e.g. Nginx.\n"
        "See [nothing](gone.md).\n"
        "See [nowhere](#gone).\n"
        "Run `make gold`.\n"
        "One. Two.\n"
        "```text\nOne. Two. [x](y)\n```\n"
    )
    assert [fault.split(":")[0] for fault in check_docs.faults(page, {"test"})] == list("5346")


def test_what_tests_leave_behind_is_found(tmp_path: Path) -> None:
    """A run that ends with a child, a daemon or a listening port left behind is a failed run."""
    conftest = (ROOT / "tests" / "conftest.py").read_text()
    patience = "GONE_S = 20.0"
    assert patience in conftest
    (tmp_path / "conftest.py").write_text(conftest.replace(patience, "GONE_S = 0.2"))
    (tmp_path / "test_careless.py").write_text(CARELESS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", f"--rootdir={tmp_path}", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )
    left = dict(re.findall(r"(\d+) (sleep 6[12])'", run.stdout))
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    assert run.returncode == 1, run.stdout
    assert sorted(left.values()) == ["sleep 61", "sleep 62"]
    port = re.findall(r"^port (\d+)$", run.stdout, re.MULTILINE)[0]
    assert f"[{port}])" in run.stdout
    assert "1 passed, 1 error" in run.stdout
