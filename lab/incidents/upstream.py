"""The server lines of an upstream, and which of them gets the next request."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

# As controller.core.render writes them by default.
_MAX_FAILS, _FAIL_TIMEOUT_S = 2, 30.0


@dataclass(slots=True, eq=False)
class Line:
    """A server line of the upstream file, as the workers of one generation count it.

    Attributes:
        endpoint: `ip:port`.
        weight: 1..100.
        down: Gets nothing.
        limit: Most requests in flight; None for no limit.
        load: Which load of the file it belongs to, counted from 1.
        in_flight: Requests on their way.
        sent: All requests so far.
        fails: Failed tries of late.
        skip_until_s: Given up until then.
    """

    endpoint: str
    weight: int
    down: bool
    limit: int | None
    load: int
    in_flight: int = 0
    sent: int = 0
    fails: int = 0
    skip_until_s: float = 0.0

    def refuse(self, now_s: float) -> None:
        """Count a failed try; after some of them the line is given up for a while."""
        self.fails += 1
        if self.fails >= _MAX_FAILS:
            self.fails, self.skip_until_s = 0, now_s + _FAIL_TIMEOUT_S


def choose(
    lines: Iterable[Line], now_s: float, asked: Collection[str], *, sheds: bool
) -> Line | None:
    """The line with the fewest requests in flight for its weight; None when there is none.

    Args:
        lines: The lines of the upstream.
        now_s: The time.
        asked: Endpoints that this request was sent to before.
        sheds: Whether full servers are left alone even when all are full.
    """
    live = [
        line
        for line in lines
        if not line.down and line.skip_until_s <= now_s and line.endpoint not in asked
    ]
    free = [line for line in live if line.limit is None or line.in_flight < line.limit]
    if not free and not sheds:
        free = live  # the backups, which are the same servers without a limit
    return min(
        free,
        key=lambda line: (line.in_flight / line.weight, line.sent / line.weight),
        default=None,
    )
