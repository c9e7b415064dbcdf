"""The errors of the controller, named by what the caller does about them.

ControllerError
├── ConfigError     the process exits; every fault of the file is listed
├── SourceError     the tick fails static: confirmed weights stay
└── ActuationError  the new file is rolled back; the next tick tries again or quarantines it
"""

from enum import StrEnum


class ControllerError(Exception):
    """Root of all errors that the controller raises on purpose."""


class ConfigError(ControllerError):
    """The configuration cannot be used.

    Attributes:
        faults: One sentence per fault: where, what was found, what was expected.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(faults))


class SourceFault(StrEnum):
    """Why Prometheus gave no snapshot that can be trusted."""

    REFUSED = "refused"
    """No connection: refused, unreachable, name unknown, TLS failed."""
    TIMED_OUT = "timed_out"
    """No complete answer within the total time allowed."""
    UNAUTHORISED = "unauthorised"
    """HTTP 401 or 403."""
    BAD_QUERY = "bad_query"
    """HTTP 400 or 422: Prometheus could not parse or execute the query."""
    UNAVAILABLE = "unavailable"
    """Any other HTTP error status, such as 503 while Prometheus replays its log."""
    NOT_PROMETHEUS = "not_prometheus"
    """An answer, but not one of the Prometheus API: HTML, truncated or unexpected JSON."""


class SourceError(ControllerError):
    """Prometheus could not be asked, or its answer cannot be used as a whole."""

    def __init__(self, fault: SourceFault, message: str) -> None:
        self.fault = fault
        super().__init__(message)


class ActuationFault(StrEnum):
    """Why a generation is not live."""

    REJECTED = "rejected"
    """`nginx -t` refuses the file; Nginx was not touched. The generation is quarantined."""
    UNCONFIRMED = "unconfirmed"
    """Nginx does not serve the generation though it was told to reload. Retried next tick."""
    UNREACHABLE = "unreachable"
    """Nginx, its master process, or its watcher does not answer. Retried next tick."""
    UNSAFE = "unsafe"
    """The layout makes a safe swap impossible (bind-mounted file, permissions, disk)."""


class ActuationError(ControllerError):
    """The wanted generation is not live; what was live before still is."""

    def __init__(self, fault: ActuationFault, message: str) -> None:
        self.fault = fault
        super().__init__(message)
