"""`python -m lab.stack.inbox`: takes mail at port 1025 and webhooks at 8080, and prints what came.

`GET /` at port 8080 gives what came last as a list in JSON, the newest first.
"""

import asyncio
import collections
import contextlib
import datetime as dt
import itertools
import json
import signal
import sys
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from lab.receivers import Mail

SMTP_PORT, HTTP_PORT = 1025, 8080
# Kept for GET /, in a container that is given little memory.
MOST_KEPT = 200
LARGEST_BYTES = 2**20


class Inbox:
    """What came, the newest first."""

    def __init__(self) -> None:
        self.kept: collections.deque[dict[str, Any]] = collections.deque(maxlen=MOST_KEPT)
        self._numbers = itertools.count(1)

    def keep(self, kind: str, title: str, content: object) -> None:
        """Keep one piece, and say so."""
        at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        piece = {"number": next(self._numbers), "at": at, "kind": kind, "title": title}
        self.kept.appendleft({**piece, "content": content})
        print(f"inbox: {kind}: {title}", flush=True)

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Take a mail."""
        mail = Mail.of(envelope)
        self.keep("mail", f"to {', '.join(mail.recipients)}: {mail.subject}", mail.text)
        return "250 kept"

    async def webhook(self, request: web.Request) -> web.Response:
        """Take a call with Alertmanager's JSON, or any other."""
        try:
            body = await request.json()
        except ValueError:
            raise web.HTTPBadRequest(text="expected JSON\n") from None
        self.keep("webhook", _title(body), body)
        return web.Response(text="kept\n")

    async def shown(self, _request: web.Request) -> web.Response:
        """Show what came."""
        return web.json_response(list(self.kept), dumps=lambda value: json.dumps(value, indent=2))


def _title(body: object) -> str:
    """What Alertmanager tells, in a line."""
    if not isinstance(body, dict) or not isinstance(body.get("alerts"), list):
        return "not from Alertmanager"
    told = [
        f"{alert.get('status')} {labels.get('alertname')}"
        + "".join(f" {labels[name]}" for name in ("instance", "model_name") if name in labels)
        for alert in body["alerts"]
        if isinstance(alert, dict) and isinstance(labels := alert.get("labels", {}), dict)
    ]
    return ", ".join(told)


async def serve(host: str = "0.0.0.0") -> None:  # noqa: S104 - in a container of its own
    """Serve until told to stop."""
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    mail = await loop.create_server(
        lambda: SMTP(inbox, data_size_limit=LARGEST_BYTES), host, SMTP_PORT
    )
    application = web.Application(client_max_size=LARGEST_BYTES)
    application.add_routes([web.get("/", inbox.shown), web.post("/webhook", inbox.webhook)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, host, HTTP_PORT).start()
    print(f"inbox: mail at port {SMTP_PORT}, webhooks at {HTTP_PORT}", flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    mail.close()
    await runner.cleanup()


def main() -> int:
    """Run it; returns the exit code."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
