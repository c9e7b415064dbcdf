"""What was measured and on what: the head of every file of results."""

import os
import platform
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def head(command: str) -> dict[str, str]:
    """What leads to the results, of which commit, and on what machine.

    Args:
        command: What to type for the same.
    """
    return {"command": command, "commit": _commit(), "machine": _machine()}


def _commit() -> str:
    """The commit of this tree, `-dirty` behind it where files were changed; empty without git."""
    # In a container the files may be of somebody else, of whom git asks to be told.
    argv = ["git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(argv, cwd=_ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def _machine() -> str:
    """The cores that this process may use, and the system, in one line."""
    cores = len(os.sched_getaffinity(0))
    system = f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    return f"{cores} cores, {system}"
