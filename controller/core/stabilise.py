"""Few, meaningful reloads: is the wanted pool different enough, and is it time?"""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from controller.core.model import NginxView, Server
from controller.core.policy import WEIGHT_MAX
from controller.core.reasons import PoolReason
from controller.core.settings import Limits

FAST_LANE = frozenset(
    {
        PoolReason.FIRST,
        PoolReason.MEMBERS,
        PoolReason.EJECTION,
        PoolReason.LIMITS,
        PoolReason.DRIFT,
        PoolReason.OPTIONS,
    }
)
"""Changes that do not wait for the interval between weight changes."""

# Among small whole numbers the next one is far away: 2 is twice as much as 1. So both sides of a
# comparison are raised by what is not worth a reload at any size: a hundredth of the heaviest
# weight, one request.
WEIGHT_STEP = 1
LIMIT_STEP = 1

# A change of a pool of a thousand must still fit into one line of a log.
MOST_NAMED = 10

CHANGES = FAST_LANE | {PoolReason.WEIGHTS}
"""All reasons for which a reload is wanted."""


def difference(
    wanted: Sequence[Server],
    applied: Sequence[Server] | None,
    limits: Limits,
    counted: AbstractSet[str] = frozenset(),
) -> tuple[PoolReason, str]:
    """How the wanted servers of a pool differ from those that Nginx confirmed.

    Args:
        wanted: The servers as they should be.
        applied: Those that Nginx confirmed; None when unknown.
        limits: The limits of changes.
        counted: Addresses whose `max_conns` is a count rather than an estimate.
    """
    if not applied:
        return PoolReason.FIRST, "Nginx serves nothing known of this pool"
    if tuple(wanted) == tuple(applied):
        return PoolReason.UNCHANGED, "the same servers and weights"
    now = {server.address: server for server in wanted}
    before = {server.address: server for server in applied}
    if now.keys() != before.keys():
        return PoolReason.MEMBERS, _members(now, before)
    flipped = sorted(address for address in now if now[address].down != before[address].down)
    if flipped:
        told = [f"{address} {'out' if now[address].down else 'back'}" for address in flipped]
        return PoolReason.EJECTION, ", ".join(_first(told))
    limited = sorted(
        address
        for address in now
        if not now[address].down
        and now[address].max_conns != before[address].max_conns
        and (before[address].max_conns is None or address in counted)
    )
    if limited:
        # A first limit is learned while requests queue, mostly after a change of weights; under one
        # that was tried too low they go to slower servers, above the engine's own they queue again.
        # None is put off, nor lost in the dead-band, for none comes and goes with the noise.
        return PoolReason.LIMITS, ", ".join(
            _first([f"{a} {now[a].max_conns or 'none'}" for a in limited])
        )
    return _weights(now, before, limits)


def _members(now: Mapping[str, Server], before: Mapping[str, Server]) -> str:
    came = [f"+{address}" for address in sorted(now.keys() - before.keys())]
    left = [f"-{address}" for address in sorted(before.keys() - now.keys())]
    return " ".join(_first(came + left))


def _first(words: list[str]) -> list[str]:
    more = len(words) - MOST_NAMED
    return [*words[:MOST_NAMED], f"and {more} more"] if more > 0 else words


def _weights(
    now: Mapping[str, Server], before: Mapping[str, Server], limits: Limits
) -> tuple[PoolReason, str]:
    # Only ratios matter to Nginx, so both sides are compared relative to their heaviest server.
    top_now = max(server.weight for server in now.values() if not server.down)
    top_before = max((s.weight for s in before.values() if not s.down), default=1)
    worst, worst_address = 1.0, ""
    for address, server in now.items():
        if server.down:
            continue
        was = before[address]
        change = max(
            # Whole numbers up to the one division, so that the edge of the dead-band is exact.
            _factor(
                (int(WEIGHT_MAX) * server.weight + WEIGHT_STEP * top_now) * top_before,
                (int(WEIGHT_MAX) * was.weight + WEIGHT_STEP * top_before) * top_now,
            ),
            _factor_of_limits(server.max_conns, was.max_conns),
        )
        if change > worst:
            worst, worst_address = change, address
    text = f"largest change x{worst:.2f} ({worst_address or 'none'})"
    if worst > 1 + limits.dead_band:
        return PoolReason.WEIGHTS, text
    return PoolReason.WITHIN_DEADBAND, text


def _factor(now: int, before: int) -> float:
    """How many times more or less."""
    return max(now, before) / min(now, before)


def _factor_of_limits(now: int | None, before: int | None) -> float:
    """The same of max_conns; infinite between a number and no limit."""
    if now is None or before is None:
        return 1.0 if now is before else math.inf
    return _factor(now + LIMIT_STEP, before + LIMIT_STEP)


def retry_after_s(failures: int, limits: Limits) -> float:
    """Seconds to wait after so many unconfirmed reloads in a row: each may have cost a reload."""
    return min(limits.fast_interval_s * 2.0 ** min(failures - 1, 10), limits.min_interval_s)


def postponed(
    reasons: frozenset[PoolReason],
    since_reload_s: float | None,
    nginx: NginxView,
    limits: Limits,
) -> tuple[PoolReason, str] | None:
    """Why a reload that the pools want has to wait; None when it is time.

    Args:
        reasons: Why the pools want it.
        since_reload_s: Seconds since the last confirmed reload; None when there was none.
        nginx: What Nginx says of its workers.
        limits: The limits.
    """
    fast = bool(reasons & FAST_LANE)
    # A first file is never held back: until then Nginx serves a placeholder.
    if PoolReason.FIRST in reasons:
        return None
    wait_s = limits.fast_interval_s if fast else limits.min_interval_s
    if since_reload_s is not None and 0 <= since_reload_s < wait_s:
        return PoolReason.MIN_INTERVAL, (
            f"{since_reload_s:.1f} s since the last reload, expected {wait_s:g} s"
        )
    lingering, live = nginx.lingering_workers or 0, max(1, nginx.live_workers or 1)
    cap = limits.max_old_generations * live * (2 if fast else 1)
    if lingering > cap:
        return PoolReason.LINGERING, (
            f"{lingering} old workers still finish streams, expected at most {cap}"
        )
    return None
