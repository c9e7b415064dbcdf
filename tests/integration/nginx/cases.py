"""What the tests of this package share: texts to apply, the two ways in, questions to Nginx."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from controller.adapters.nginx import (
    Endpoint,
    LocalNginx,
    LocalSettings,
    SharedSettings,
    SharedVolumeNginx,
)
from controller.core.model import Server
from controller.core.ports import Actuator
from controller.core.render import GENERATION_LENGTH, HEADER, Rendered, Upstream, parse, render
from lab.nginx import RunningNginx, watcher

Way = Literal["local", "shared"]
WAYS: tuple[Way, ...] = ("local", "shared")


def file_of(weight: int, *addresses: str) -> Rendered:
    """A sound upstream file of the pool `llm`; another weight is another generation."""
    servers = [Server(address, weight=weight) for address in addresses or ("127.0.0.1:9",)]
    return render([Upstream("llm", servers)])


def file_with(body: str) -> Rendered:
    """An upstream file with any body and the generation that belongs to it."""
    generation = hashlib.sha256(body.encode()).hexdigest()[:GENERATION_LENGTH]
    head = f'{HEADER}\nmap "" $lb_generation {{\n    default "{generation}";\n}}\n'
    return Rendered(generation, f"{head}\n{body}")


def refused_by_nginx() -> Rendered:
    """A file in the grammar of the renderer that Nginx refuses all the same."""
    return file_with(
        file_of(1).text.partition("}\n\n")[2].replace("127.0.0.1:9 ", "127.0.0.1:99999 ")
    )


def local_settings(running: RunningNginx, confirm_timeout_s: float = 5.0) -> LocalSettings:
    """Settings for an Nginx of the laboratory."""
    return LocalSettings(
        running.upstream_dir,
        Endpoint.parse(running.generation_url),
        conf=running.conf,
        pid_file=running.pid_file,
        confirm_timeout_s=confirm_timeout_s,
    )


def shared_settings(running: RunningNginx, confirm_timeout_s: float = 5.0) -> SharedSettings:
    """Settings for an Nginx of the laboratory with a watcher beside it."""
    return SharedSettings(
        running.shared_dir,
        Endpoint.parse(running.generation_url),
        confirm_timeout_s=confirm_timeout_s,
    )


@contextlib.contextmanager
def way_to(running: RunningNginx, way: Way, confirm_timeout_s: float = 5.0) -> Iterator[Actuator]:
    """An actuator of one of the two kinds, with what it needs running."""
    if way == "local":
        yield LocalNginx(local_settings(running, confirm_timeout_s))
        return
    with watcher(running):
        yield SharedVolumeNginx(shared_settings(running, confirm_timeout_s))


def is_accepted(running: RunningNginx) -> bool:
    """Whether the configuration on disk is whole and one that Nginx would start with."""
    done = subprocess.run(["nginx", "-t", "-c", running.conf], check=False, capture_output=True)
    return done.returncode == 0 and parse(running.upstream_file.read_text()) is not None


def workers(running: RunningNginx) -> list[int]:
    """The process ids of the master's children."""
    master = running.process.pid
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def open_files(pid: int) -> list[str]:
    """What a process has open; without what it closes meanwhile."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return found


def edit(running: RunningNginx, old: str, new: str) -> None:
    """Change the top-level configuration on disk."""
    text = running.conf.read_text()
    assert old in text
    running.conf.write_text(text.replace(old, new, 1))


def reload(running: RunningNginx) -> None:
    """Tell the master, as an administrator would."""
    os.kill(running.process.pid, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Backend:
    """A running HTTP server."""

    address: str


class _Server(ThreadingHTTPServer):
    """Ends at once, also while a client still holds a connection."""

    daemon_threads = True
    block_on_close = False


@contextlib.contextmanager
def backend(
    status: int = 200,
    body: str = "ok",
    stream: threading.Event | Mapping[str, threading.Event] | None = None,
) -> Iterator[Backend]:
    """A backend that answers everything alike.

    Args:
        status: HTTP status of each answer.
        body: Its body.
        stream: When given, an answer is not complete before the event is set; it may be one event
            per path.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            if stream is None:
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())
                return
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"data: first\n\n")
            end = stream if isinstance(stream, threading.Event) else stream[self.path]
            end.wait(30)
            self.wfile.write(b"data: last\n\n")
            self.close_connection = True

        do_POST = do_GET  # noqa: N815 - http.server finds the method by this name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Backend(f"127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def log_lines(running: RunningNginx) -> list[dict[str, object]]:
    """The access log as it was written."""
    return [json.loads(line) for line in running.access_log.read_text().splitlines()]
