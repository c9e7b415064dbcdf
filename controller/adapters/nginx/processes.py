"""The processes of Nginx as /proc shows them: who is the master, which workers linger."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from controller.core.errors import ActuationError, ActuationFault

MASTER_TITLE = "nginx: master process"
WORKER_TITLE = "nginx: worker process"
SHUTTING_DOWN = "is shutting down"

_PROC = Path("/proc")
_PID = re.compile(r"[1-9][0-9]{0,18}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers accept connections, and how many only finish what they have."""

    live: int
    lingering: int


def find_master(pid_file: Path, binary: str) -> int:
    """The process id of the Nginx master, proven to be one.

    Args:
        pid_file: What the `pid` directive names.
        binary: The Nginx program; a master of another name is not signalled.

    Raises:
        ActuationError: UNREACHABLE when there is no such process, UNSAFE when it may not be
            signalled. No signal was sent.
    """
    try:
        text = pid_file.read_text(errors="replace").strip()
    except FileNotFoundError as error:
        raise _unreachable(
            f"Nginx is not running: there is no pid file {pid_file}; where its `pid` directive"
            " names another file, pid_file must name that one"
        ) from error
    except OSError as error:
        raise _unreachable(f"pid file {pid_file}: {error.strerror}") from error
    if not text:
        raise _unreachable(f"pid file {pid_file} is empty: Nginx is just starting, or died so")
    if not _PID.match(text):
        raise _unreachable(
            f"pid file {pid_file} holds {text[:40]!r}, which is no process id; correct pid_file"
        )
    pid = int(text)
    title = _title(pid)
    # Of a process that has ended and is not reaped yet there is an entry, without a title.
    if not title:
        raise _unreachable(
            f"Nginx is not running: pid {pid} of {pid_file} has ended; an Nginx that runs in"
            " another container needs the shared-volume way"
        )
    words = title.removeprefix(MASTER_TITLE).split()
    if not title.startswith(MASTER_TITLE) or not words or not _same_program(words[0], binary):
        raise _unreachable(
            f"pid {pid} of {pid_file} is {title[:80]!r}, expected a master of {binary}; no signal"
            " was sent"
        )
    try:
        os.kill(pid, 0)
    except PermissionError as error:
        raise ActuationError(
            ActuationFault.UNSAFE,
            f"user {os.geteuid()} may not signal the Nginx master {pid}: run as its user, or set a"
            " reload command",
        ) from error
    except ProcessLookupError as error:
        raise _unreachable(f"the Nginx master {pid} has just ended") from error
    return pid


def count_workers(master: int) -> Workers | None:
    """Count the workers of a master; None when /proc does not show them."""
    titles = [_title(pid) or "" for pid in _children(master)]
    workers = [title for title in titles if title.startswith(WORKER_TITLE)]
    lingering = sum(SHUTTING_DOWN in title for title in workers)
    return Workers(len(workers) - lingering, lingering) if workers else None


def _same_program(found: str, binary: str) -> bool:
    return Path(found).name == Path(binary).name


def _children(pid: int) -> list[int]:
    try:
        listed = (_PROC / str(pid) / "task" / str(pid) / "children").read_text()
    except OSError:
        return _children_by_search(pid)
    return [int(child) for child in listed.split()]


def _children_by_search(parent: int) -> list[int]:
    """For kernels built without the `children` file."""
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may hold anything, so fields are counted after it.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(entry.name))
    return found


def _title(pid: int) -> str | None:
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def _unreachable(message: str) -> ActuationError:
    return ActuationError(ActuationFault.UNREACHABLE, message)
