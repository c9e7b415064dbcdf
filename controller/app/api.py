"""The HTTP interface: /metrics, /healthz, /readyz, /api/v1/status, /api/v1/backends/ADDRESS."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from controller.core.address import split_address
from controller.core.errors import ControllerError

JSON = "application/json; charset=utf-8"


class ListenError(ControllerError):
    """Nothing can be served where it was asked for now; the same may work a moment later."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Where the interface gets what it answers.

    Attributes:
        registry: The metrics.
        status: The status as JSON values; None before the first tick.
        alive: Why the controller is not alive; None when it is.
        ready: Why it is not ready; None when it is.
    """

    registry: CollectorRegistry
    status: Callable[[], dict[str, Any] | None]
    alive: Callable[[], str | None]
    ready: Callable[[], str | None]


class Api:
    """The HTTP server, in threads of its own.

    Raises:
        ListenError: The port is taken, or the host has no such address, now.
    """

    def __init__(self, listen: str, answers: Answers) -> None:
        host, port = split_address(listen)
        try:
            self._server = _Server((host.strip("[]"), port), answers)
        except OSError as error:
            raise ListenError(f"telemetry.listen: {listen}: {error.strerror}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="api", kwargs={"poll_interval": 0.1}
        )

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; returns when the port is free."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], answers: Answers) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self.answers = answers


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "vllm-nginx-lb"
    sys_version = ""
    # A client that never finishes its request must not hold a thread for ever.
    timeout = 10

    def do_GET(self) -> None:
        """Answer one request."""
        path = urlsplit(self.path).path
        answers = self.server.answers
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._send(HTTPStatus.OK, content_type, encode(answers.registry))
        elif path == "/healthz":
            self._verdict(answers.alive())
        elif path == "/readyz":
            self._verdict(answers.ready())
        elif path == "/api/v1/status":
            self._json(answers.status())
        elif path.startswith("/api/v1/backends/"):
            self._backend(unquote(path.removeprefix("/api/v1/backends/")))
        else:
            self._fault(HTTPStatus.NOT_FOUND, f"no such page: {path}")

    def _backend(self, address: str) -> None:
        status = self.server.answers.status()
        found = [
            {"pool": pool["name"], **backend}
            for pool in (status or {}).get("pools", ())
            for backend in pool["backends"]
            if backend["address"] == address
        ]
        if found:
            self._json(found)
        else:
            self._fault(HTTPStatus.NOT_FOUND, f"no backend {address}")

    def _verdict(self, problem: str | None) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
        self._send(status, "text/plain; charset=utf-8", f"{problem or 'ok'}\n".encode())

    def _json(self, value: object) -> None:
        if value is None:
            self._fault(HTTPStatus.SERVICE_UNAVAILABLE, "the first tick has not ended yet")
        else:
            self._send(HTTPStatus.OK, JSON, json.dumps(value, allow_nan=False).encode())

    def _fault(self, status: HTTPStatus, message: str) -> None:
        self._send(status, JSON, json.dumps({"error": message}).encode())

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing: probes and scrapes every few seconds are no news."""
