"""What a run of tests left in the engine, known by labels that no other run has."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

# What testcontainers puts on its containers, and these tests on theirs.
OF_THIS_RUN = f"{LABEL_SESSION_ID}={SESSION_ID}"
# Containers come first: the others are in use as long as they are there.
_KINDS = {
    "container": ["docker", "ps", "--all", "--format={{.ID}} {{.Names}}"],
    "volume": ["docker", "volume", "ls", "--format={{.Name}} {{.Name}}"],
    "network": ["docker", "network", "ls", "--format={{.ID}} {{.Name}}"],
}
_REMOVE = {
    "container": ["docker", "rm", "--force", "--volumes"],
    "volume": ["docker", "volume", "rm", "--force"],
    "network": ["docker", "network", "rm"],
}
_PROJECT = re.compile(r"^COMPOSE_PROJECT_NAME=(lb-test-\S+)$", re.MULTILINE)


def labels(directory: Path) -> Sequence[str]:
    """The labels of a run: its own, and those of the projects that have files in a directory."""
    files = sorted(directory.rglob("stack.env"))
    projects = [name for file in files for name in _PROJECT.findall(file.read_text())]
    return [OF_THIS_RUN, *(f"com.docker.compose.project={name}" for name in projects)]


def removed(of: Sequence[str]) -> Sequence[str]:
    """Remove containers, volumes and networks with one of the labels; what there was, by name."""
    found = []
    for kind, listing in _KINDS.items():
        named = dict(each for label in of for each in _listed(listing, label))
        if named:
            argv = [*_REMOVE[kind], *named]
            subprocess.run(argv, check=True, capture_output=True, text=True)
        found += [f"{kind} {name}" for name in named.values()]
    return found


def _listed(listing: Sequence[str], label: str) -> Iterator[tuple[str, str]]:
    argv = [*listing, f"--filter=label={label}"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        identity, _, name = line.partition(" ")
        yield identity, name
