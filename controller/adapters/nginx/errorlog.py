"""What the error log of Nginx says about a reload that did not happen."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from controller.adapters.nginx.staging import SEVERE, read_any, worst_line

_DIRECTIVE = re.compile(r"^[ \t]*error_log[ \t]+([^\s;]+)", re.MULTILINE)
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ErrorLog:
    """A place in the error log, to read on from later.

    Attributes:
        path: The log; None when it is no readable file, as in a container that logs to a pipe.
        offset: Its size in bytes when the place was taken.
    """

    path: Path | None
    offset: int = 0

    @classmethod
    def of(cls, conf: Path) -> Self:
        """The end of the log that the top-level file names."""
        try:
            found = _DIRECTIVE.search(read_any(conf))
            if found is None or not (path := Path(found[1])).is_absolute() or not path.is_file():
                return cls(None)
            return cls(path, path.stat().st_size)
        except OSError:
            return cls(None)

    def complaint(self) -> str:
        """The gravest line since then; empty when nothing grave was written or can be read."""
        if self.path is None:
            return ""
        try:
            with self.path.open("rb") as log:
                log.seek(self.offset)
                text = log.read(_MAX_BYTES).decode(errors="replace")
        except OSError:
            return ""
        # Errors of single requests stand in the same log and say nothing about the reload.
        grave = [line for line in text.splitlines() if any(level in line for level in SEVERE)]
        return worst_line("\n".join(grave))
