"""Few reloads: which difference is worth one, and when it is time."""

from collections.abc import Sequence

import pytest

from controller.core.model import NginxView, Server
from controller.core.reasons import PoolReason
from controller.core.settings import Limits
from controller.core.stabilise import (
    CHANGES,
    FAST_LANE,
    MOST_NAMED,
    difference,
    postponed,
    retry_after_s,
)

from .worlds import A, B, C, D

LIMITS = Limits(dead_band=0.5, min_interval_s=60, fast_interval_s=10, max_old_generations=4)
CALM = NginxView("0" * 16, lingering_workers=0, live_workers=4)
SLOW = frozenset({PoolReason.WEIGHTS})
FAST = frozenset({PoolReason.EJECTION})


def servers(*weights: int | None) -> tuple[Server, ...]:
    """Servers A, B, C... with these weights; None stands for one that is down."""
    names = (A, B, C, D)
    return tuple(
        Server(name, weight=weight or 100, down=weight is None)
        for name, weight in zip(names, weights, strict=False)
    )


def reason(wanted: Sequence[Server], applied: Sequence[Server] | None) -> PoolReason:
    """Why the difference matters, or why it does not."""
    return difference(wanted, applied, LIMITS)[0]


@pytest.mark.parametrize("applied", [None, ()])
def test_an_unknown_pool_is_the_first(applied: Sequence[Server] | None) -> None:
    """Where Nginx serves nothing known of a pool, any servers are a first file."""
    assert reason(servers(100), applied) == PoolReason.FIRST


def test_the_same_servers_are_no_change() -> None:
    """Equal servers differ in nothing."""
    assert reason(servers(100, 50), servers(100, 50)) == PoolReason.UNCHANGED


def test_members_that_come_and_leave_are_named() -> None:
    """Another set of addresses is a change of members, and the sentence says whose."""
    found = difference(servers(100, 100), (Server(B), Server(C)), LIMITS)
    assert found == (PoolReason.MEMBERS, f"+{A} -{C}")


def test_a_thousand_changes_fit_into_a_sentence() -> None:
    """Of many changes the first are named and the others counted."""
    many = tuple(Server(f"10.1.{n // 250}.{n % 250}:80") for n in range(1000))
    joined = difference(many, servers(100), LIMITS)[1]
    down = tuple(Server(each.address, down=n > 499) for n, each in enumerate(many))
    ejected = difference(down, many, LIMITS)[1]
    assert joined.endswith(f"and {1001 - MOST_NAMED} more")
    assert ejected.endswith(f"out, and {500 - MOST_NAMED} more")
    assert max(len(joined), len(ejected)) < 300


def test_out_and_back_are_named() -> None:
    """A server that goes down or comes back is an ejection, whatever the weights do."""
    found = difference(servers(None, 100, 10), servers(100, None, 100), LIMITS)
    assert found == (PoolReason.EJECTION, f"{A} out, {B} back")


EDGES = [
    (wanted, applied)
    for wanted in range(1, 101)
    for applied in range(1, 101)
    if 2 * (wanted + 1) == 3 * (applied + 1) or 3 * (wanted + 1) == 2 * (applied + 1)
]


def test_the_edge_of_the_dead_band_is_exact() -> None:
    """A factor of exactly 1.5 of the weights and one is within a dead-band of 50 %."""
    reasons = {reason(servers(100, new), servers(100, old)) for new, old in EDGES}
    assert reasons == {PoolReason.WITHIN_DEADBAND}


def test_just_beyond_the_dead_band_is_a_change() -> None:
    """The next whole weight beyond a factor of 1.5 either way is a change, for every weight."""
    beyond = [(n + 1, o) for n, o in EDGES if o < n < 100] + [(n - 1, o) for n, o in EDGES if n < o]
    beyond = [(new, old) for new, old in beyond if new > 0]
    assert len(beyond) > 60
    reasons = {reason(servers(100, new), servers(100, old)) for new, old in beyond}
    assert reasons == {PoolReason.WEIGHTS}


def test_the_next_whole_number_is_no_change() -> None:
    """Rounding among the smallest weights is not worth a reload."""
    assert reason(servers(100, 2), servers(100, 1)) == PoolReason.WITHIN_DEADBAND


def test_without_a_dead_band_every_change_counts() -> None:
    """A dead-band of 0 % lets the smallest difference through."""
    limits = Limits(dead_band=0)
    assert difference(servers(100, 99), servers(100, 100), limits)[0] == PoolReason.WEIGHTS


def test_only_ratios_matter() -> None:
    """The same weights on another scale are no change, and the sentence says so."""
    found = difference(servers(50, 25), servers(100, 50), LIMITS)
    assert found == (PoolReason.WITHIN_DEADBAND, "largest change x1.00 (none)")


def test_the_heaviest_server_changes_the_others() -> None:
    """When only the heaviest weight falls, the others gain in proportion."""
    found = difference(servers(50, 50, 50), servers(100, 50, 50), LIMITS)
    assert found == (PoolReason.WEIGHTS, f"largest change x1.98 ({B})")


def test_a_single_server_has_no_weight_to_speak_of() -> None:
    """In a pool of one, no weight is worth a reload."""
    assert reason(servers(1), servers(100)) == PoolReason.WITHIN_DEADBAND


def test_the_weight_of_a_server_that_is_down_does_not_matter() -> None:
    """Weights of servers that are down on both sides are not compared."""
    wanted = (Server(A), Server(B, weight=1, down=True))
    assert reason(wanted, (Server(A), Server(B, down=True))) == PoolReason.WITHIN_DEADBAND


@pytest.mark.parametrize(
    ("wanted", "applied", "expected"),
    [
        (16, 16, PoolReason.UNCHANGED),
        (24, 16, PoolReason.WITHIN_DEADBAND),
        (25, 16, PoolReason.WEIGHTS),
        (10, 16, PoolReason.WEIGHTS),
        (11, 16, PoolReason.WITHIN_DEADBAND),
        (2, 1, PoolReason.WITHIN_DEADBAND),
        (4, 2, PoolReason.WEIGHTS),
        (2, 4, PoolReason.WEIGHTS),
        (1, None, PoolReason.LIMITS),
        (None, 1, PoolReason.WEIGHTS),
    ],
)
def test_limits_of_connections_have_the_same_dead_band(
    wanted: int | None, applied: int | None, expected: PoolReason
) -> None:
    """`max_conns` changes like a weight, but a first limit is not put off."""
    now, before = (Server(A, max_conns=wanted),), (Server(A, max_conns=applied),)
    assert reason(now, before) == expected


@pytest.mark.parametrize(
    ("wanted", "applied", "counted", "estimated"),
    [
        (15, 16, PoolReason.LIMITS, PoolReason.WITHIN_DEADBAND),
        (16, 15, PoolReason.LIMITS, PoolReason.WITHIN_DEADBAND),
        (16, 16, PoolReason.UNCHANGED, PoolReason.UNCHANGED),
        (None, 16, PoolReason.LIMITS, PoolReason.WEIGHTS),
    ],
)
def test_a_limit_that_is_a_count_has_no_dead_band(
    wanted: int | None, applied: int | None, counted: PoolReason, estimated: PoolReason
) -> None:
    """It does not come and go with the noise, and one that is wrong by little queues or spills."""
    now = (Server(A, max_conns=wanted), Server(B, max_conns=8))
    before = (Server(A, max_conns=applied), Server(B, max_conns=8))
    assert difference(now, before, LIMITS, {A})[0] == counted
    assert difference(now, before, LIMITS, {B})[0] == estimated


def test_a_limit_that_ends_is_named() -> None:
    """The sentence of a change of limits has the numbers, and says of whom there is none now."""
    now, before = (Server(A), Server(B, max_conns=8)), (Server(A, max_conns=64), Server(B))
    assert difference(now, before, LIMITS, {A}) == (PoolReason.LIMITS, f"{A} none, {B} 8")


def test_the_count_of_a_server_that_is_out_does_not_matter() -> None:
    """What a server could take that gets nothing makes no new file."""
    now, before = ((Server(A), Server(B, down=True, max_conns=limit)) for limit in (8, 16))
    assert difference(now, before, LIMITS, {B})[0] == PoolReason.WITHIN_DEADBAND


@pytest.mark.parametrize(
    ("reasons", "since_s", "waits"),
    [
        (SLOW, 59.9, True),
        (SLOW, 60.0, False),
        (FAST, 9.9, True),
        (FAST, 10.0, False),
        (SLOW | FAST, 10.0, False),
        (SLOW, None, False),
        (FAST, 0.0, True),
        (SLOW, -1.0, False),
        (SLOW, -1e9, False),
    ],
    ids=[
        *("slow early", "slow in time", "fast early", "fast in time", "one is fast"),
        *("no reload yet", "same second", "clock set back", "clock set far back"),
    ],
)
def test_the_interval_since_the_last_reload(
    reasons: frozenset[PoolReason], since_s: float | None, *, waits: bool
) -> None:
    """Weights wait for the long interval and the fast lane for the short one, to the second."""
    found = postponed(reasons, since_s, CALM, LIMITS)
    assert (found is not None) == waits
    assert found is None or found[0] == PoolReason.MIN_INTERVAL


def test_the_wait_is_told() -> None:
    """The sentence says how long ago the last reload was and how long it should be."""
    found = postponed(SLOW, 12.3, CALM, LIMITS)
    assert found == (PoolReason.MIN_INTERVAL, "12.3 s since the last reload, expected 60 s")


@pytest.mark.parametrize("lane", sorted(FAST_LANE - {PoolReason.FIRST}))
def test_all_but_weights_are_in_the_fast_lane(lane: PoolReason) -> None:
    """Members, ejections, drift and options wait for the short interval only."""
    assert postponed(frozenset({lane}), 30, CALM, LIMITS) is None
    assert CHANGES - FAST_LANE == SLOW


def test_a_first_file_never_waits() -> None:
    """Neither an interval nor lingering workers hold a first file back, whatever comes with it."""
    crowded = NginxView("0" * 16, lingering_workers=1000, live_workers=1)
    assert postponed(SLOW | {PoolReason.FIRST}, 0.0, crowded, LIMITS) is None


@pytest.mark.parametrize(
    ("reasons", "lingering", "live", "waits"),
    [
        (SLOW, 16, 4, False),
        (SLOW, 17, 4, True),
        (FAST, 32, 4, False),
        (FAST, 33, 4, True),
        (SLOW, None, 4, False),
        (SLOW, 4, None, False),
        (SLOW, 5, None, True),
        (FAST, 9, 0, True),
    ],
)
def test_lingering_workers_hold_reloads_back(
    reasons: frozenset[PoolReason], lingering: int | None, live: int | None, *, waits: bool
) -> None:
    """Old workers beyond 4 per live one hold weights back, beyond 8 everything; unknown is none."""
    found = postponed(reasons, None, NginxView("0" * 16, lingering, live), LIMITS)
    assert (found is not None) == waits
    assert found is None or found[0] == PoolReason.LINGERING


def test_the_lingering_workers_are_told() -> None:
    """The sentence says how many there are and how many there may be."""
    found = postponed(FAST, None, NginxView("0" * 16, 33, 4), LIMITS)
    assert found == (
        PoolReason.LINGERING,
        "33 old workers still finish streams, expected at most 32",
    )


def test_unconfirmed_reloads_are_retried_ever_later() -> None:
    """The wait doubles from the fast interval up to the slow one."""
    limits = Limits(fast_interval_s=10, min_interval_s=60)
    assert [retry_after_s(count, limits) for count in (1, 2, 3, 4, 99)] == [10, 20, 40, 60, 60]
