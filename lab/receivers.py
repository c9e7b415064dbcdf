"""Where notifications arrive: a real SMTP server, and an HTTP server for webhooks.

Both keep what came, in order; wait for a condition on it with `lab.processes.await_true`.
"""

import contextlib
import email
import email.policy
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from http import HTTPStatus
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from lab.processes import READY_S, free_port


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was delivered."""

    recipients: tuple[str, ...]
    message: EmailMessage

    @classmethod
    def of(cls, envelope: Envelope) -> "Mail":
        """What a client has handed in."""
        content = cast("bytes", envelope.content)
        # The default policy makes an EmailMessage, which decodes subjects and bodies.
        message = email.message_from_bytes(content, policy=email.policy.default)
        return cls(tuple(envelope.rcpt_tos), message)

    @property
    def subject(self) -> str:
        """Its subject, decoded."""
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """Its plain text."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """Its HTML."""
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return "" if part is None else str(part.get_content())


@dataclass(frozen=True, slots=True)
class MailServer:
    """A running SMTP server and the mails that it took."""

    port: int
    login: tuple[str, str] | None = None
    mails: list[Mail] = field(default_factory=list)

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep a mail."""
        # Asked here: aiosmtpd itself asks for a login only where there is TLS.
        if self.login is not None and not session.authenticated:
            return "530 log in first"
        self.mails.append(Mail.of(envelope))
        return "250 kept"


@contextlib.contextmanager
def mail_server(
    *, port: int | None = None, login: tuple[str, str] | None = None
) -> Iterator[MailServer]:
    """Run an SMTP server until the context ends; with a login, only that user may send."""

    def authenticate(
        _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == login, handled=False)

    running = MailServer(port or free_port(), login)
    controller = Controller(
        running,
        hostname="127.0.0.1",
        port=running.port,
        # The client insists on TLS unless the server is on this host, as it is here.
        auth_require_tls=False,
        # Its prompts are others than those that Alertmanager knows.
        auth_exclude_mechanism=["LOGIN"],
        authenticator=authenticate if login else None,
        ready_timeout=READY_S,
    )
    controller.start()
    try:
        yield running
    finally:
        controller.stop()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one call of a webhook brought."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    answered: int


@dataclass(slots=True)
class WebhookReceiver:
    """A running HTTP server; `status` is what it answers from now on."""

    url: str
    status: int = HTTPStatus.OK
    deliveries: list[Delivery] = field(default_factory=list)

    def to(self, path: str) -> list[dict[str, Any]]:
        """The bodies that came to a path and were taken."""
        return [
            each.body
            for each in self.deliveries
            if each.path == path and each.answered == HTTPStatus.OK
        ]


@contextlib.contextmanager
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """Run an HTTP server that takes JSON at any path, until the context ends."""
    running = WebhookReceiver(url="")

    class Handler(http.server.BaseHTTPRequestHandler):
        """Keeps what is posted."""

        def do_POST(self) -> None:
            """Keep one delivery, and answer what is wanted now."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = running.status
            running.deliveries.append(
                Delivery(self.path, dict(self.headers), json.loads(body), status)
            )
            self._answer(status)

        def do_GET(self) -> None:
            """Let a client of WeCom fetch its token."""
            self._answer(HTTPStatus.OK)

        def _answer(self, status: int) -> None:
            # WeCom's clients look into the answer; nobody else does.
            answer = json.dumps({"errcode": 0, "access_token": "token", "expires_in": 7200})
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing; the deliveries are the log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running.url = f"http://127.0.0.1:{server.server_port}"
        # Polled more often than the default half second, or each end of a test waits for it.
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
