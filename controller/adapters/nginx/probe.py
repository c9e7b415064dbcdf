"""Asks Nginx which generation it serves, on a new connection each time."""

import http.client
import re
import socket
import time
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

# After a reload old and new workers both answer for about 50 ms: one right answer proves nothing.
CONFIRMATIONS = 5
CONFIRM_SPREAD_S = 0.25
POLL_S = 0.02
PROBE_TIMEOUT_S = 1.0
MAX_ANSWER_BYTES = 200

_GENERATION = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_OK = 200


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where Nginx says which generation it serves.

    Attributes:
        path: The path to ask for.
        host: Host name or address; empty when a unix socket is used.
        port: TCP port.
        socket: Path of the unix socket; empty when TCP is used.
    """

    path: str
    host: str = ""
    port: int = 80
    socket: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `http://host:port/path` or `unix:/path/to.sock:/path`.

        Raises:
            ValueError: It is neither.
        """
        expected = "expected http://host:port/path or unix:/path/to.sock:/path"
        if url.startswith("unix:"):
            socket_path, colon, path = url.removeprefix("unix:").partition(":")
            if not (socket_path.startswith("/") and colon and path.startswith("/")):
                raise ValueError(f"{url!r}: {expected}")
            return cls(path, socket=socket_path)
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url!r}: {expected}")
        return cls(parts.path or "/", host=parts.hostname, port=parts.port or 80)

    def __str__(self) -> str:
        if self.socket:
            return f"unix:{self.socket}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question gave: a generation, or why there is none."""

    generation: str | None
    detail: str = ""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(endpoint: Endpoint, timeout_s: float = PROBE_TIMEOUT_S) -> Answer:
    """Ask once; never raises."""
    connection = (
        _UnixConnection(endpoint.socket, timeout_s)
        if endpoint.socket
        else http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
    )
    try:
        connection.request("GET", endpoint.path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return Answer(None, f"{endpoint}: {error or type(error).__name__}")
    finally:
        connection.close()
    if response.status != _OK:
        return Answer(None, f"{endpoint}: HTTP {response.status}, expected 200")
    if not _GENERATION.match(body):
        return Answer(None, f"{endpoint}: {body[:40]!r} is no generation")
    return Answer(body)


def is_served(endpoint: Endpoint, generation: str, timeout_s: float) -> bool:
    """Whether Nginx serves the generation already; does not wait for it."""
    return (
        ask(endpoint).generation == generation and confirm(endpoint, generation, timeout_s) is None
    )


def confirm(endpoint: Endpoint, generation: str, timeout_s: float) -> Answer | None:
    """Wait until Nginx serves the generation for sure.

    Errors and other generations both just wait: right after a reload either is normal.

    Returns:
        None when it is confirmed; else the last answer that was not the generation and that the
        end of the time did not cut off.
    """
    deadline_s = time.monotonic() + timeout_s
    last: Answer | None = None
    matches, first_s = 0, 0.0
    while (now_s := time.monotonic()) < deadline_s:
        answer = ask(endpoint, min(PROBE_TIMEOUT_S, deadline_s - now_s))
        if answer.generation != generation:
            if last is None or time.monotonic() < deadline_s:
                last = answer
            matches = 0
            time.sleep(POLL_S)
            continue
        first_s = first_s if matches else now_s
        matches += 1
        if matches >= CONFIRMATIONS and now_s - first_s >= CONFIRM_SPREAD_S:
            return None
        time.sleep(CONFIRM_SPREAD_S / (CONFIRMATIONS - 1))
    return last or Answer(
        None, f"{endpoint}: did not answer {CONFIRMATIONS} times in {timeout_s:g} s"
    )
