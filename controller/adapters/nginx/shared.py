"""Nginx in another container: a watcher beside it takes up requests over a shared volume."""

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.nginx import files, probe
from controller.adapters.nginx.served import check_text, choose_served
from controller.adapters.nginx.watch import Answer, Status, read_answer, read_status
from controller.core.errors import ActuationError, ActuationFault
from controller.core.model import NginxView
from controller.core.render import parse


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """Where the shared volume is and how long its other end may take.

    Attributes:
        directory: Parent of `req`, which this process writes, and of `ack` and `live`, which only
            the watcher writes.
        endpoint: Where Nginx says which generation it serves.
        answer_timeout_s: Deadline of the watcher's verdict in seconds; covers its `nginx -t`.
        confirm_timeout_s: Deadline of Nginx serving the new generation, in seconds.
        silent_after_s: Age in seconds at which the heartbeat of the watcher, one per second, counts
            as missing.
        file_mode: Permission bits of the request; the watcher may be another user.
    """

    directory: Path
    endpoint: probe.Endpoint
    answer_timeout_s: float = 15.0
    confirm_timeout_s: float = 5.0
    silent_after_s: float = 5.0
    file_mode: int = 0o644


class SharedVolumeNginx:
    """The actuator for an Nginx that shares nothing with this process but a volume and a port.

    Killed at any instruction it leaves at most a request, which the watcher validates like any
    other; the next call replaces it.
    """

    def __init__(self, settings: SharedSettings) -> None:
        self._settings = settings
        self._request = settings.directory / "req" / "request.conf"
        self._answer = settings.directory / "ack" / "answer"
        self._status = settings.directory / "ack" / "status"
        self._live = settings.directory / "live" / "upstream.conf"
        self._kept = settings.directory / "live" / ".previous"

    def apply(self, generation: str, text: str) -> None:
        """Make the text live and return once Nginx serves its generation.

        Raises:
            ActuationError: It is not live; the file on disk is again the one of before.
            ValueError: The text is not whole, or of another generation.
        """
        check_text(generation, text)
        self._heartbeat()
        settings = self._settings
        if files.read_text(self._live) == text and probe.is_served(
            settings.endpoint, generation, settings.confirm_timeout_s
        ):
            return
        served = probe.ask(settings.endpoint).generation
        previous = choose_served(served, self._live, self._kept)
        self._submit(generation, text)
        try:
            self._confirm(generation)
        except ActuationError as error:
            told = self._go_back(previous)
            raise ActuationError(error.fault, f"{error}; {told}") from error

    def rehearse(self) -> None:
        """Find out whether a change could be made, and touch nothing that is live.

        Raises:
            ActuationError: It could not; the message says what to do.
        """
        status = self._heartbeat()
        if status is None:
            raise ActuationError(
                ActuationFault.UNREACHABLE,
                f"{self._status} is no heartbeat that can be read: run the watcher of this version,"
                f" and let user {os.geteuid()} read its files",
            )
        if status.master is None:
            raise ActuationError(
                ActuationFault.UNREACHABLE,
                "the watcher sees no Nginx master: start Nginx, or set LB_PID of the watcher to"
                " the file of Nginx's `pid` directive",
            )

    def view(self) -> NginxView:
        """Ask Nginx once what it serves now; never raises."""
        answer = probe.ask(self._settings.endpoint)
        try:
            status = self._refuse_silence()
        except ActuationError as error:
            detail = "; ".join(filter(None, (answer.detail, str(error))))
            return NginxView(answer.generation, detail=detail)
        if status is None or status.master is None:
            detail = answer.detail or "the watcher sees no Nginx master"
            return NginxView(answer.generation, detail=detail)
        return NginxView(answer.generation, status.lingering, status.live, answer.detail)

    def served_text(self) -> str | None:
        """The upstream file on disk that Nginx would load at its next start; None if absent."""
        return files.read_text(self._live)

    def _heartbeat(self) -> Status | None:
        """The heartbeat of the watcher, asked for once the layout is found to be safe."""
        files.refuse_single_file_mount(self._live)
        files.refuse_unsafe_layout(self._request)
        return self._refuse_silence()

    def _refuse_silence(self) -> Status | None:
        """The heartbeat of the watcher; None when it is just being rewritten.

        Raises:
            ActuationError: UNREACHABLE, it is missing or too old.
        """
        try:
            age_s = time.time() - self._status.stat().st_mtime
        except OSError as error:
            raise ActuationError(
                ActuationFault.UNREACHABLE,
                f"no watcher: {self._status}: {error.strerror}; it runs in the Nginx container",
            ) from error
        if age_s > self._settings.silent_after_s:
            raise ActuationError(
                ActuationFault.UNREACHABLE,
                f"watcher silent for {age_s:.0f} s: {self._status} is rewritten each second while"
                " it runs in the Nginx container",
            )
        return read_status(self._status)

    def _submit(self, generation: str, text: str) -> None:
        """Hand the text to the watcher and wait until it has been swapped in.

        Raises:
            ActuationError: It was not; nothing has changed.
        """
        nonce = secrets.token_hex(8)
        data = f"# request {nonce} {generation}\n{text}".encode()
        files.put(
            files.stage(self._request.parent, self._request.name, data, self._settings.file_mode),
            self._request,
        )
        answer = self._await_answer(nonce)
        if answer.fault is not None:
            raise ActuationError(answer.fault, answer.message)

    def _await_answer(self, nonce: str) -> Answer:
        deadline_s = time.monotonic() + self._settings.answer_timeout_s
        while time.monotonic() < deadline_s:
            answer = read_answer(self._answer)
            if answer is not None and answer.nonce == nonce:
                return answer
            time.sleep(probe.POLL_S)
        # Withdrawn: a watcher that comes back later must not take up what nobody waits for.
        with contextlib.suppress(OSError):
            self._request.unlink()
        raise ActuationError(
            ActuationFault.UNREACHABLE,
            f"the watcher did not answer within {self._settings.answer_timeout_s:g} s",
        )

    def _confirm(self, generation: str) -> None:
        settings = self._settings
        other = probe.confirm(settings.endpoint, generation, settings.confirm_timeout_s)
        if other is not None:
            seen = f"it serves {other.generation}" if other.generation else other.detail
            raise ActuationError(
                ActuationFault.UNCONFIRMED,
                f"generation {generation} is not served {settings.confirm_timeout_s:g} s after the"
                f" reload: {seen}; the error log of Nginx says why",
            )

    def _go_back(self, previous: bytes | None) -> str:
        """Have the file of before swapped in again; says how that went."""
        text = (previous or b"").decode(errors="replace")
        adopted = parse(text)
        if adopted is None:
            return "the upstream file of before was not of this program and cannot be put back"
        try:
            self._submit(adopted.generation, text)
        except ActuationError as error:
            return f"the previous upstream file could not be put back: {error}"
        return "the previous upstream file is back in place"
