# ruff: noqa: INP001 - a program of its own in an image, part of no package
"""Stands in for Grafana where no container registry can be reached.

It answers /api/health as Grafana does, and every other path with what it is. It draws nothing.
"""

import http.server
import json
import os
import signal
import sys

PORT = int(os.environ.get("GF_SERVER_HTTP_PORT", "3000"))
HEALTH = {"database": "ok", "version": "stand-in", "commit": "none"}
NOTICE = "This is not Grafana but a stand-in of vllm-nginx-lb: it only answers /api/health.\n"


class Handler(http.server.BaseHTTPRequestHandler):
    """Two answers."""

    def do_GET(self) -> None:
        """Health, or the notice with a 501."""
        if self.path == "/api/health":
            self._answer(http.HTTPStatus.OK, "application/json", json.dumps(HEALTH))
        else:
            self._answer(http.HTTPStatus.NOT_IMPLEMENTED, "text/plain", NOTICE)

    def _answer(self, status: http.HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Health checks fill no log."""


if __name__ == "__main__":
    # Process 1 of a container ignores a SIGTERM that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(NOTICE, end="", flush=True)  # noqa: T201 - the log of the container
    http.server.ThreadingHTTPServer(("", PORT), Handler).serve_forever()
