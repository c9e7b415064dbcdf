"""Every way a request can fail, as a SourceError that says what to look at."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import requests
import urllib3.exceptions

from controller.core.errors import SourceError, SourceFault

_EXCERPT = 200


def failure_of(error: BaseException, place: str, timeout_s: float) -> SourceError | None:
    """The SourceError for an exception of requests, urllib3 or the socket; None for a defect."""
    if isinstance(error, SourceError):
        return error
    if isinstance(error, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
        return timed_out(place, timeout_s)
    if isinstance(error, requests.exceptions.InvalidHeader):
        # Its own message quotes the header, which may be a secret.
        return SourceError(SourceFault.REFUSED, "a configured header cannot be sent")
    causes = tuple(_causes(error))
    if any(_is_garbled(cause) for cause in causes):
        return SourceError(
            SourceFault.NOT_PROMETHEUS, f"{place} broke off or does not speak HTTP: {causes[-1]}"
        )
    if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError | OSError):
        return SourceError(SourceFault.REFUSED, f"no connection to {place}: {_reason(causes)}")
    return None


def timed_out(place: str, timeout_s: float) -> SourceError:
    """The answer was not complete in time."""
    return SourceError(
        SourceFault.TIMED_OUT, f"{place} gave no complete answer within {timeout_s:g} s"
    )


def failure_of_status(status: int, body: bytes, location: str | None, place: str) -> SourceError:
    """The SourceError for an HTTP status other than 200."""
    text = _error_text(body)
    said = text or excerpt(body)
    detail = f"{place} answered {status}" + (f": {said}" if said else "")
    if status in {401, 403}:
        return SourceError(SourceFault.UNAUTHORISED, detail)
    if status in {400, 422}:
        # A 400 in other words is a proxy's, or a TLS port addressed without TLS.
        fault = SourceFault.BAD_QUERY if text else SourceFault.NOT_PROMETHEUS
        return SourceError(fault, detail)
    if location is not None:
        detail = f"{place} answered {status} and points to {location}; configure that address"
    return SourceError(SourceFault.UNAVAILABLE, detail)


def payload_of(body: bytes, place: str) -> dict[str, Any]:
    """Parse a successful answer of the Prometheus API.

    Raises:
        SourceError: It is not one: no JSON, truncated, another shape, or status "error".
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            SourceFault.NOT_PROMETHEUS,
            f"{place} answered something else than complete JSON: {excerpt(body)}",
        ) from error
    if not isinstance(payload, dict) or "status" not in payload:
        raise SourceError(
            SourceFault.NOT_PROMETHEUS,
            f"{place} answered JSON that is not of the Prometheus API: {excerpt(body)}",
        )
    if payload["status"] != "success" or not isinstance(payload.get("data"), dict):
        said = payload.get("error") or excerpt(body)
        raise SourceError(
            SourceFault.NOT_PROMETHEUS, f"{place} answered 200 without success: {said}"
        )
    return payload


def excerpt(body: bytes) -> str:
    """The beginning of a body on one line, fit for a message."""
    text = " ".join(body[: 4 * _EXCERPT].decode(errors="replace").split())
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable[:_EXCERPT] + ("..." if len(printable) > _EXCERPT else "")


def _error_text(body: bytes) -> str:
    """What Prometheus says is wrong; empty when the body is not Prometheus' JSON."""
    try:
        payload = json.loads(body)
        return str(payload["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _is_garbled(error: BaseException) -> bool:
    if isinstance(error, http.client.RemoteDisconnected):
        return False
    return isinstance(
        error,
        http.client.HTTPException
        | urllib3.exceptions.IncompleteRead
        | urllib3.exceptions.InvalidChunkLength
        | urllib3.exceptions.DecodeError,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those inside it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        inner = getattr(current, "reason", None) or next(
            (argument for argument in reversed(current.args) if isinstance(argument, Exception)),
            None,
        )
        current = inner if isinstance(inner, BaseException) else current.__context__


def _reason(causes: tuple[BaseException, ...]) -> str:
    """The shortest true sentence in the chain: the operating system's, when it spoke."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(causes[-1]) or type(causes[-1]).__name__
