"""The interfaces between the pure parts and the adapters."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from controller.core.model import NginxView, Snapshot


class Source(Protocol):
    """Where snapshots come from."""

    def observe(self, now_s: float) -> Snapshot:
        """Return one snapshot of all pools; never raises SourceError, carries it instead."""


class Actuator(Protocol):
    """A way to Nginx: applies a generation and reads back what is served."""

    def apply(self, generation: str, text: str) -> None:
        """Make the upstream file `text` live and return once Nginx serves `generation`.

        Raises:
            ActuationError: It is not live; the file on disk is again one that Nginx accepted.
        """

    def rehearse(self) -> None:
        """Find out whether a change could be made, and touch nothing that is live.

        Raises:
            ActuationError: It could not; the message says what to do.
        """

    def view(self) -> NginxView:
        """Ask Nginx once what it serves now; never raises."""

    def served_text(self) -> str | None:
        """The upstream file on disk that Nginx would load at its next start; None if absent."""


class Resolver(Protocol):
    """Turns server names into addresses, since Nginx refuses a file with a name it cannot find."""

    def resolve(self, addresses: Iterable[str]) -> Mapping[str, str]:
        """Map `host:port` to the `ip:port` to render; addresses that do not resolve are absent."""
