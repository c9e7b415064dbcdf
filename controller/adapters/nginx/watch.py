"""What the watcher writes for the controller: the answer to a request, and its heartbeat."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.nginx.files import read_text
from controller.core.errors import ActuationFault

_FAULTS = {
    "ok": None,
    "invalid": ActuationFault.REJECTED,
    "failed": ActuationFault.UNREACHABLE,
    "unsafe": ActuationFault.UNSAFE,
}
_STATUS = re.compile(r"master=(\d+|none)\nlive=(\d+)\nlingering=(\d+)\nend\n\Z")
# The heartbeat is rewritten in place, so that it costs the watcher no process; a reader may meet it
# half written for a moment.
_STATUS_TRIES = 3
_STATUS_RETRY_S = 0.005


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        nonce: Of the request.
        fault: Why it was not swapped in; None when it was.
        message: For a person.
    """

    nonce: str
    fault: ActuationFault | None
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """The heartbeat.

    Attributes:
        master: Process id of the Nginx master in its own container; None when there is none.
        live: Workers that accept connections.
        lingering: Old workers that still finish streams.
    """

    master: int | None
    live: int
    lingering: int


def read_answer(path: Path) -> Answer | None:
    """The last answer; None when there is none that can be understood."""
    head, _, message = (read_text(path) or "").partition("\n")
    words = head.split()
    if len(words) != 3 or words[2] not in _FAULTS:  # noqa: PLR2004 - nonce, generation, verdict
        return None
    return Answer(words[0], _FAULTS[words[2]], message.strip())


def read_status(path: Path) -> Status | None:
    """The heartbeat; None when it is not whole."""
    for _ in range(_STATUS_TRIES):
        found = _STATUS.match(read_text(path) or "")
        if found is not None:
            master, live, lingering = found.groups()
            return Status(None if master == "none" else int(master), int(live), int(lingering))
        time.sleep(_STATUS_RETRY_S)
    return None
