"""Tells Nginx to reload: a signal to its proven master, or the user's own command."""

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.nginx import probe, processes
from controller.core.errors import ActuationError, ActuationFault


@dataclass(frozen=True, slots=True)
class Reload:
    """A way to tell Nginx.

    Attributes:
        pid_file: Names the master.
        binary: The Nginx program that the master must be.
        endpoint: Asked whether Nginx is there when only the user's command knows its master.
        command: Run instead of a signal; None for the signal.
        timeout_s: Deadline of the command in seconds.
    """

    pid_file: Path
    binary: str
    endpoint: probe.Endpoint
    command: tuple[str, ...] | None
    timeout_s: float

    def check(self) -> None:
        """Find out whether somebody would take up a change.

        Raises:
            ActuationError: UNREACHABLE or UNSAFE, with what was found.
        """
        if self.command is None:
            processes.find_master(self.pid_file, self.binary)
            return
        answer = probe.ask(self.endpoint)
        if answer.generation is None:
            raise ActuationError(ActuationFault.UNREACHABLE, answer.detail)

    def send(self) -> None:
        """Tell Nginx; that it was told does not mean that it did.

        Raises:
            ActuationError: UNREACHABLE, UNSAFE or UNCONFIRMED, it could not be told.
        """
        if self.command is not None:
            self._run(self.command)
            return
        # Asked again: a binary upgrade or a restart since the first check changes the master.
        master = processes.find_master(self.pid_file, self.binary)
        with contextlib.suppress(ProcessLookupError):  # it ended: the confirmation will say so
            os.kill(master, signal.SIGHUP)

    def _run(self, command: tuple[str, ...]) -> None:
        try:
            subprocess.run(  # noqa: S603 - the user's own command
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout_s,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise ActuationError(
                ActuationFault.UNCONFIRMED,
                f"`{' '.join(command)}` failed with exit code {error.returncode}: {said}",
            ) from error
        except (subprocess.TimeoutExpired, OSError) as error:
            raise ActuationError(
                ActuationFault.UNCONFIRMED, f"`{' '.join(command)}` failed: {error}"
            ) from error
