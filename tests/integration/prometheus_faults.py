"""Servers that answer as Prometheus should not, over real sockets."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SUCCESS = {"status": "success", "data": {"resultType": "vector", "result": []}}
DRIP_S = 0.05
_REQUEST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived, and the client's port it came from."""

    port: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Told:
    """An answer to give."""

    status: int
    body: str
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server, its address and what it was asked."""

    url: str
    asked: list[Asked]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that gave up is what some tests are about."""


def success(**beside: object) -> Told:
    """An empty result, with more keys beside it."""
    return Told(200, json.dumps({**SUCCESS, **beside}))


def _handler(answer: Callable[[Asked], Told], asked: list[Asked]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            port = self.client_address[1]
            request = Asked(port, self.command, self.path, dict(self.headers), body)
            asked.append(request)
            told = answer(request)
            content = told.body.encode()
            self.send_response(told.status)
            self.send_header("Content-Type", told.content_type)
            self.send_header("Content-Length", str(len(content)))
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = _answer  # noqa: N815 - the name http.server looks for
        do_POST = _answer  # noqa: N815 - the same

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as http.server declares it
            """Say nothing on standard error."""

    return Handler


@contextlib.contextmanager
def serving(
    answer: Callable[[Asked], Told], tls: ssl.SSLContext | None = None
) -> Iterator[Serving]:
    """Run an HTTP server that answers what the function says, until the context ends."""
    asked: list[Asked] = []
    with _Server(("127.0.0.1", 0), _handler(answer, asked)) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            scheme = "http" if tls is None else "https"
            yield Serving(f"{scheme}://127.0.0.1:{server.server_port}", asked)
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def always(told: Told) -> Iterator[Serving]:
    """Run a server with one answer to everything."""
    with serving(lambda _: told) as server:
        yield server


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """Accept connections and never say anything; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def raw(first: bytes, drip: bytes = b"") -> Iterator[str]:
    """Send `first` to each client, then `drip` byte by byte for ever; close if there is none."""
    stop = threading.Event()

    def talk(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.recv(_REQUEST_BYTES)
            client.sendall(first)
            if not drip:
                # Closing with the request half read would cut the answer off too.
                client.shutdown(socket.SHUT_WR)
                while client.recv(_REQUEST_BYTES):
                    pass
            position = 0
            while drip and not stop.wait(DRIP_S):
                client.sendall(drip[position % len(drip)].to_bytes())
                position += 1

    def accept(listener: socket.socket) -> None:
        while not stop.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=talk, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DRIP_S)
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()
