"""Finished runs, one JSON object per line, so that a bench that was broken off goes on.

The first line holds what belongs to the session as a whole. A line counts once its newline is
written: whoever is killed while writing leaves a torn last line, and that run is done again.
"""

import json
import os
from pathlib import Path
from typing import Any


class JournalError(Exception):
    """The file is no journal of this bench; the message names the line."""


class Journal:
    """An open journal."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            JournalError: A line other than a torn last one cannot be read.
        """
        self.path = path
        self._lines = _whole_lines(path)

    @property
    def session(self) -> dict[str, Any] | None:
        """What belongs to all runs; None in a new journal."""
        return self._lines[0] if self._lines else None

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """The finished runs by their keys."""
        return {line["key"]: line for line in self._lines[1:]}

    def append(self, line: dict[str, Any]) -> None:
        """Write one more line; it is on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as output:
            output.write(json.dumps(line, separators=(",", ":")) + "\n")
            output.flush()
            os.fsync(output.fileno())
        self._lines.append(line)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        # The next line must not be appended to the torn one.
        os.truncate(path, whole)
    lines = []
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            lines.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise JournalError(f"{path}:{number}: not a line of a journal") from error
    return lines
