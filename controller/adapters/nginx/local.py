"""Nginx on the same host: validate, swap the file, signal the master, wait for its word."""

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.nginx import files, probe, processes, staging
from controller.adapters.nginx.errorlog import ErrorLog
from controller.adapters.nginx.reload import Reload
from controller.adapters.nginx.served import check_text, choose_served
from controller.core.errors import ActuationError, ActuationFault
from controller.core.model import NginxView


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Where Nginx is and how it is told.

    Attributes:
        directory: Holds the upstream file; a directory of its own, writable by this process.
        endpoint: Where Nginx says which generation it serves.
        file_name: The upstream file within the directory.
        conf: The top-level nginx.conf; it includes the upstream file, directly or not.
        binary: The Nginx program.
        prefix: What the running Nginx got as `-p`; None for the one it was built with.
        pid_file: What its `pid` directive names.
        reload_command: Run instead of a SIGHUP to the master, as with `systemctl reload nginx`.
        test_timeout_s: Deadline of `nginx -t` and of the reload command, in seconds.
        confirm_timeout_s: Deadline of Nginx serving the new generation, in seconds.
        file_mode: Permission bits of the upstream file.
    """

    directory: Path
    endpoint: probe.Endpoint
    file_name: str = "upstream.conf"
    conf: Path = Path("/etc/nginx/nginx.conf")
    binary: str = "nginx"
    prefix: Path | None = None
    pid_file: Path = Path("/run/nginx.pid")
    reload_command: tuple[str, ...] | None = None
    test_timeout_s: float = 10.0
    confirm_timeout_s: float = 5.0
    file_mode: int = 0o644


class LocalNginx:
    """The actuator for an Nginx of the same host and the same PID namespace.

    Killed at any instruction it leaves the old upstream file or the new one, each whole and
    accepted by `nginx -t`; all else it writes are dotfiles that the next call overwrites.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._live = settings.directory / settings.file_name
        self._kept = settings.directory / f".{settings.file_name}.previous"
        self._mirror = settings.directory / ".staging"
        self._reload = Reload(
            settings.pid_file,
            settings.binary,
            settings.endpoint,
            settings.reload_command,
            settings.test_timeout_s,
        )

    def apply(self, generation: str, text: str) -> None:
        """Make the text live and return once Nginx serves its generation.

        Raises:
            ActuationError: It is not live; the file on disk is again the one of before.
            ValueError: The text is not whole, or of another generation.
        """
        check_text(generation, text)
        files.refuse_unsafe_layout(self._live)
        self._reload.check()
        if self._is_live(generation, text):
            return
        candidate = self._stage(text)
        try:
            self._test(candidate)
            previous = self._previous()
            log = ErrorLog.of(self._settings.conf)
            self._swap(candidate, previous)
        finally:
            candidate.unlink(missing_ok=True)
        try:
            self._signal()
            self._confirm(generation, log)
        except ActuationError as error:
            self._go_back(previous)
            raise ActuationError(
                error.fault, f"{error}; the previous upstream file is back in place"
            ) from error

    def rehearse(self) -> None:
        """Find out whether a change could be made, and touch nothing that is live.

        Raises:
            ActuationError: It could not; the message says what to do.
        """
        files.refuse_unsafe_layout(self._live)
        # A name of its own: the controller that runs stages its changes in the same directory.
        try:
            with tempfile.TemporaryDirectory(prefix=".check-", dir=self._live.parent) as name:
                refusal = self._refusal(self._live, Path(name) / self._mirror.name)
        except OSError as error:
            raise files.unsafe(f"cannot write to {self._live.parent}: {error.strerror}") from error
        if refusal is not None:
            raise _refused_anyway(refusal)
        # Last: without a configuration that it accepts no Nginx could have been started.
        self._reload.check()

    def view(self) -> NginxView:
        """Ask Nginx once what it serves now; never raises."""
        answer = probe.ask(self._settings.endpoint)
        try:
            master = processes.find_master(self._settings.pid_file, self._settings.binary)
            workers = processes.count_workers(master)
        except ActuationError as error:
            detail = "; ".join(filter(None, (answer.detail, str(error))))
            return NginxView(answer.generation, detail=detail)
        if workers is None:
            return NginxView(answer.generation, detail=answer.detail)
        return NginxView(answer.generation, workers.lingering, workers.live, answer.detail)

    def served_text(self) -> str | None:
        """The upstream file on disk that Nginx would load at its next start; None if absent."""
        return files.read_text(self._live)

    def _is_live(self, generation: str, text: str) -> bool:
        """Whether a reload would change nothing, as after a restart of the controller."""
        settings = self._settings
        return files.read_text(self._live) == text and probe.is_served(
            settings.endpoint, generation, settings.confirm_timeout_s
        )

    def _stage(self, text: str) -> Path:
        settings = self._settings
        return files.stage(
            settings.directory, settings.file_name, text.encode(), settings.file_mode
        )

    def _test(self, candidate: Path) -> None:
        refusal = self._refusal(candidate, self._mirror)
        if refusal is None:
            return
        # A certificate that has gone refuses every candidate, and says nothing about this one.
        if self._live.exists() and (other := self._refusal(self._live, self._mirror)) is not None:
            raise _refused_anyway(other)
        raise ActuationError(ActuationFault.REJECTED, refusal)

    def _refusal(self, candidate: Path, mirror: Path) -> str | None:
        settings = self._settings
        try:
            staged = staging.build(mirror, settings.conf, self._live, candidate)
            if not candidate.exists():
                raise files.unsafe(
                    f"there is no upstream file {candidate} yet: write the first one with"
                    " `vllm-nginx-lb init`, then start Nginx"
                )
            return staging.refusal(
                staged,
                binary=settings.binary,
                prefix=settings.prefix,
                timeout_s=settings.test_timeout_s,
            )
        finally:
            shutil.rmtree(mirror, ignore_errors=True)

    def _previous(self) -> bytes | None:
        """The file to go back to: what Nginx serves, not what a crash left there unsignalled."""
        served = probe.ask(self._settings.endpoint).generation
        return choose_served(served, self._live, self._kept)

    def _swap(self, candidate: Path, previous: bytes | None) -> None:
        settings = self._settings
        if previous is not None:
            kept = files.stage(settings.directory, self._kept.name, previous, settings.file_mode)
            files.put(kept, self._kept)
        files.put(candidate, self._live)

    def _signal(self) -> None:
        self._reload.send()

    def _confirm(self, generation: str, log: ErrorLog) -> None:
        settings = self._settings
        other = probe.confirm(settings.endpoint, generation, settings.confirm_timeout_s)
        if other is not None:
            seen = f"it serves {other.generation}" if other.generation else other.detail
            why = "; ".join(filter(None, (seen, log.complaint())))
            raise ActuationError(
                ActuationFault.UNCONFIRMED,
                f"generation {generation} is not served {settings.confirm_timeout_s:g} s after the"
                f" reload: {why}",
            )

    def _go_back(self, previous: bytes | None) -> None:
        if previous is None:
            self._live.unlink(missing_ok=True)
        else:
            # Renamed, not copied: going back needs no space on a disk that has just filled up.
            files.put(self._kept, self._live)
        with contextlib.suppress(ActuationError):  # the first failure is the one to tell
            self._signal()


def _refused_anyway(refusal: str) -> ActuationError:
    """The error of a configuration that Nginx would not start with, whatever the upstream file."""
    return files.unsafe(
        f"`nginx -t` refuses even the configuration that is live: {refusal}; correct that first"
    )
