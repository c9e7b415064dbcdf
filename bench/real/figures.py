"""Figures of a set of requests, and how one router compares with the best of others."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Request:
    """What the client saw of one request.

    Attributes:
        start_s: When it was sent, in seconds after the first one.
        ttft_s: From then to its first token; 0 when it failed.
        e2e_s: From then to its last token; 0 when it failed.
        tokens: Tokens received.
        itls_ms: Between its successive tokens.
        error: What the client says went wrong; empty when nothing did.
    """

    start_s: float
    ttft_s: float
    e2e_s: float
    tokens: int
    itls_ms: tuple[float, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles."""

    mean: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What a set of requests met; None where none of them was answered.

    Attributes:
        requests: How many were sent.
        errors: How many failed. They count nowhere else.
        ttft_ms: Time to the first token.
        itl_ms: Time between tokens.
        e2e_s: Time to the last token.
    """

    requests: int
    errors: int
    ttft_ms: Spread | None
    itl_ms: Spread | None
    e2e_s: Spread | None

    def as_json(self) -> dict[str, object]:
        """The same for a JSON file."""
        return asdict(self)


def figures(requests: Iterable[Request]) -> Figures:
    """The figures of these requests."""
    sent = list(requests)
    answered = [request for request in sent if not request.error]
    return Figures(
        requests=len(sent),
        errors=len(sent) - len(answered),
        ttft_ms=spread([request.ttft_s * 1000 for request in answered]),
        itl_ms=spread([itl_ms for request in answered for itl_ms in request.itls_ms]),
        e2e_s=spread([request.e2e_s for request in answered]),
    )


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and percentiles of values; None without any."""
    if not values:
        return None
    p50, p99 = np.percentile(values, [50, 99])
    return Spread(round(float(np.mean(values)), 3), round(float(p50), 3), round(float(p99), 3))


def tokens_per_s(requests: Sequence[Request]) -> float:
    """Tokens over the time from the first request to the last token, which includes the tail."""
    answered = [request for request in requests if not request.error]
    end_s = max((request.start_s + request.e2e_s for request in answered), default=0.0)
    return round(sum(request.tokens for request in answered) / end_s, 1) if end_s else 0.0


def split(requests: Sequence[Request], at_s: float) -> tuple[list[Request], list[Request]]:
    """Those that were sent before this time, and the others."""
    before = [request for request in requests if request.start_s < at_s]
    after = [request for request in requests if request.start_s >= at_s]
    return before, after


def ratio(
    own: float | None, rivals: Iterable[float | None], *, more_is_better: bool
) -> float | None:
    """Own figure over the best of the rivals'; None where either is unknown."""
    known = [value for value in rivals if value]
    if own is None or not known:
        return None
    return round(own / (max(known) if more_is_better else min(known)), 3)
