"""Servers are chosen as Nginx chooses them."""

from __future__ import annotations

from collections import Counter

import pytest

from simulator.fleet import layout
from simulator.fleet.nginx import choose_peer, forget, is_full, tries_for
from simulator.fleet.worlds import Line, Rules, write_lines
from tests.unit.fleet.fleets import Nginx, idle_world


def weights(*values: int) -> list[Line]:
    """One line per weight."""
    return [Line(value) for value in values]


def test_round_robin_is_smooth() -> None:
    """Weights 5, 1, 1 give the order that Nginx documents: a a b a c a a."""
    nginx = Nginx(weights(5, 1, 1), mode=layout.ROUND_ROBIN)
    assert [nginx.send() for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


@pytest.mark.parametrize("concurrency", [1, 4, 100])
def test_round_robin_keeps_its_shares_at_every_concurrency(concurrency: int) -> None:
    """Open requests do not matter to round robin."""
    nginx = Nginx(weights(100, 60, 30, 10), mode=layout.ROUND_ROBIN)
    sent = Counter(nginx.send() for _ in range(200 * (concurrency > 1) or 200))
    assert sent == {0: 100, 1: 60, 2: 30, 3: 10}


def test_an_idle_server_always_wins() -> None:
    """However small its weight, a server without requests is chosen before one with any."""
    nginx = Nginx(weights(100, 60, 30, 10))
    assert sorted(nginx.send() for _ in range(4)) == [0, 1, 2, 3]


def test_at_as_many_requests_as_servers_the_weights_are_lost() -> None:
    """With four requests in flight, weights 100/60/30/10 get about equal shares (27/24/22/26)."""
    nginx = Nginx(weights(100, 60, 30, 10))
    open_lines = [nginx.send() for _ in range(4)]
    sent: Counter[int] = Counter()
    for turn in range(100):
        nginx.answer(open_lines.pop(0 if turn % 3 else turn % 4), 100.0)
        open_lines.append(nginx.send())
        sent[open_lines[-1]] += 1
    assert all(15 <= sent[line] <= 40 for line in range(4))


def test_many_requests_in_flight_are_spread_by_weight() -> None:
    """Open requests approach the weights exactly: connections per weight are evened out."""
    nginx = Nginx(weights(100, 60, 30, 10))
    assert Counter(nginx.send() for _ in range(200)) == {0: 100, 1: 60, 2: 30, 3: 10}


def test_connections_per_weight_are_compared_without_a_division() -> None:
    """One request at weight 3 weighs less than one at weight 2, though both are 0 in integers."""
    nginx = Nginx(weights(2, 3))
    assert sorted((nginx.send(), nginx.send())) == [0, 1]
    assert nginx.send() == 1


@pytest.mark.parametrize(("reload", "expected"), [(False, {1: 50}), (True, {0: 25, 1: 25})])
def test_a_reload_forgets_what_is_in_flight(reload: bool, expected: dict[int, int]) -> None:  # noqa: FBT001  # a column of the table
    """A hundred streams on one server keep new requests away from it only until a reload."""
    nginx = Nginx(weights(1, 1))
    for _ in range(100):
        nginx.world.peers[0, 0]["conns"] += 1
    if reload:
        nginx.configure(weights(1, 1))
    assert Counter(nginx.send() for _ in range(50)) == expected


def test_weights_that_change_without_a_reload_hold_for_what_is_in_flight() -> None:
    """Of 200 requests, half of them sent before, three quarters stand at the weight of 3."""
    nginx = Nginx(weights(1, 1))
    assert Counter(nginx.send() for _ in range(100)) == {0: 50, 1: 50}
    write_lines(nginx.world, 0, weights(3, 1), backups=True)
    assert Counter(nginx.send() for _ in range(100)) == {0: 100}
    assert nginx.world.peers[0]["conns"].tolist() == [150, 50, 0, 0]


def test_a_server_that_is_down_gets_nothing() -> None:
    """All requests go to the others, and none when all are down."""
    nginx = Nginx([Line(), Line(down=True)])
    assert {nginx.send() for _ in range(5)} == {0}
    assert tries_for(nginx.world, 0) == 1
    nginx.configure([Line(down=True), Line(down=True)])
    assert nginx.send() == -1


def test_without_backups_a_full_pool_has_no_server() -> None:
    """Beyond max_conns a request is turned away, and it can be told why."""
    nginx = Nginx([Line(max_conns=2), Line(max_conns=1)], spill=False)
    assert Counter(nginx.send() for _ in range(3)) == {0: 2, 1: 1}
    assert nginx.send() == -1
    assert is_full(nginx.world, 0, 100.0)


def test_backups_take_what_is_beyond_the_limits() -> None:
    """The same servers again, without a limit, and with connections counted on their own."""
    nginx = Nginx([Line(2, max_conns=2), Line(1, max_conns=1)])
    assert Counter(nginx.send() for _ in range(3)) == {0: 2, 1: 1}
    assert Counter(nginx.send() for _ in range(6)) == {2: 4, 3: 2}
    nginx.answer(0, 100.0)
    assert nginx.send() == 0


def test_a_reserve_gets_only_what_is_beyond_the_limits() -> None:
    """Though idle it is passed over, until the other is full; then both serve, by weight."""
    nginx = Nginx([Line(2, max_conns=3), Line(1, reserve=True)])
    assert [nginx.send() for _ in range(3)] == [0, 0, 0]
    assert Counter(nginx.send() for _ in range(6)) == {2: 4, 3: 2}


def test_a_server_that_is_down_is_no_backup() -> None:
    """Neither does its limit make others spill."""
    nginx = Nginx([Line(max_conns=1), Line(max_conns=1, down=True)])
    assert [nginx.send() for _ in range(3)] == [0, 2, 2]
    assert tries_for(nginx.world, 0) == 2
    nginx.configure([Line(), Line(max_conns=1, down=True)])
    assert tries_for(nginx.world, 0) == 1


def test_a_server_that_failed_twice_is_passed_over_for_the_time_out() -> None:
    """max_fails=2 fail_timeout=30s: out for 30 s after the second failure, then tried again."""
    nginx = Nginx(weights(1, 1))
    for _ in range(2):
        nginx.world.requests["tried"] = 2
        assert nginx.send(100.0) == 0
        nginx.answer(0, 100.0, layout.BAD)
    nginx.world.requests["tried"] = 0
    assert {nginx.send(float(second)) for second in range(101, 131)} == {1}
    assert nginx.send(131.0) == 0


def test_a_success_after_the_time_out_clears_the_failures() -> None:
    """The request let through counts: with it the server is as good as new."""
    nginx = Nginx(weights(1, 1))
    for _ in range(2):
        nginx.answer(0, 100.0, layout.BAD)
    nginx.world.peers[0, 0]["conns"] = 0
    nginx.send(100.0)
    assert nginx.send(131.0) == 0
    nginx.answer(0, 132.0)
    assert nginx.world.peers[0, 0]["fails"] == 0


def test_a_success_within_the_time_out_clears_nothing() -> None:
    """Nginx resets failures only by a request sent after the time-out."""
    nginx = Nginx(weights(1, 1))
    nginx.answer(0, 100.0, layout.BAD)
    nginx.world.peers[0, 0]["conns"] = 0
    assert nginx.send(110.0) == 0
    nginx.answer(0, 111.0)
    assert nginx.world.peers[0, 0]["fails"] == 1


def test_a_single_server_is_never_given_up() -> None:
    """With one server in the upstream max_fails is ignored."""
    nginx = Nginx(weights(1))
    for second in range(5):
        assert nginx.send(float(second)) == 0
        nginx.answer(0, float(second), layout.BAD)
    assert nginx.send(5.0) == 0


def test_a_request_tries_no_server_twice_but_as_a_backup() -> None:
    """Two primaries, then the same two as backups, then nothing."""
    nginx = Nginx([Line(max_conns=9), Line(max_conns=9)])
    request = nginx.world.requests[0]
    tried = [int(choose_peer(nginx.world, 0, request, 100.0)) for _ in range(5)]
    assert [sorted(tried[:2]), sorted(tried[2:4]), tried[4]] == [[0, 1], [2, 3], -1]
    assert tries_for(nginx.world, 0) == 4


def test_workers_without_a_zone_count_for_themselves() -> None:
    """What one worker has in flight does not exist for the other."""
    world = idle_world(2, rules=Rules(tables=2))
    write_lines(world, 0, [Line(), Line()], backups=False)
    forget(world, 0)
    first = [int(choose_peer(world, 0, world.requests[index], 1.0)) for index in range(3)]
    assert first == [0, 1, 1]  # the tie goes to whom round robin owes a turn
    assert int(choose_peer(world, 1, world.requests[3], 1.0)) == 0
