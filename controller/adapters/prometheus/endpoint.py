"""How to reach a Prometheus: its address, credentials and limits."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from controller.core.errors import SourceError, SourceFault

Secret = Callable[[], str]
"""Reads a secret anew at each request, so that a rotated file is followed without a restart."""

# 10,000 backends with 14 signals answer with 15 MB; more than this is somebody else's series.
MAX_ANSWER_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """A user name and where its password is read."""

    username: str
    password: Secret = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A Prometheus, or anything that answers its HTTP API.

    Attributes:
        url: Base address, with the path prefix if there is one.
        timeout_s: Seconds one request may take in all: name, connection, answer, last byte.
        token: Bearer token; excludes `basic`.
        basic: Basic authentication; excludes `token`.
        headers: Sent with each request, such as X-Scope-OrgID.
        ca_file: Certificates to trust instead of the public ones.
        client_cert: Certificate to show; with the key inside, or in `client_key`.
        client_key: Private key of `client_cert`.
        proxies_from_environment: Whether HTTP_PROXY and its relatives count. Off by default: a
            proxy set for the engines' downloads must not come between here and Prometheus.
        max_answer_bytes: Largest answer that is read.
    """

    url: str
    timeout_s: float = 5.0
    token: Secret | None = field(default=None, repr=False)
    basic: BasicAuth | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    proxies_from_environment: bool = False
    max_answer_bytes: int = MAX_ANSWER_BYTES

    def place(self) -> str:
        """The address for a message: without user name, password, path and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def authorisation(self) -> dict[str, str]:
        """Read the secret and return the header that carries it; empty without credentials.

        Raises:
            SourceError: The secret cannot be read or cannot stand in a header. The message never
                holds the secret.
        """
        if self.token is not None:
            token = _read(self.token, "bearer token")
            # requests would refuse it too, but with the token in its message.
            if not token or not all("!" <= character <= "~" for character in token):
                raise SourceError(
                    SourceFault.UNAUTHORISED,
                    "the bearer token is empty or holds a character that no header may hold",
                )
            return {"Authorization": f"Bearer {token}"}
        if self.basic is not None:
            pair = f"{self.basic.username}:{_read(self.basic.password, 'password')}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {}


def _read(secret: Secret, what: str) -> str:
    try:
        return secret().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8"
        if isinstance(error, OSError):
            reason = f"{error.filename}: {error.strerror}"
        raise SourceError(
            SourceFault.UNAUTHORISED, f"the {what} cannot be read: {reason}"
        ) from error
