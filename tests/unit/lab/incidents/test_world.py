"""The world of incidents as a whole, for a few minutes."""

from itertools import pairwise

import pytest

from lab.incidents.tally import Histogram
from lab.incidents.timetable import INCIDENTS, MINUTES
from lab.incidents.upstream import Line, choose
from lab.incidents.world import World


def test_the_same_seed_gives_the_same_history() -> None:
    """Pictures and tests are of the same two hours each time."""
    first, second = ("".join(World(seed=3).run(minutes=1).lines()) for _ in range(2))
    assert first == second
    assert first.count("\n") > 5000


def test_another_seed_gives_another_history() -> None:
    """Chance has a part in it."""
    first, second = ("".join(World(seed=seed).run(minutes=1).lines()) for seed in (1, 2))
    assert first != second


def test_incidents_of_the_larger_pool_do_not_overlap() -> None:
    """What is seen in it has one cause at a time, with a pause between, within the two hours."""
    mine = sorted((one.start_min, one.end_min) for one in INCIDENTS.values() if one.pool != "qwen")
    assert all(start >= end + 1 for (_, end), (start, _) in pairwise(mine))
    assert mine[0][0] > 0
    assert mine[-1][1] <= MINUTES


def line(endpoint: str, weight: int, in_flight: int, limit: int | None = None) -> Line:
    """A line of an upstream."""
    return Line(endpoint, weight, down=False, limit=limit, load=1, in_flight=in_flight)


def test_least_conn_goes_by_weight() -> None:
    """The next request goes where the fewest are in flight for the weight."""
    chosen = choose([line("a", 100, 10), line("b", 50, 4)], 0.0, (), sheds=False)
    assert chosen is not None
    assert chosen.endpoint == "b"


@pytest.mark.parametrize(("sheds", "expected"), [(True, None), (False, "a")])
def test_full_servers_shed_or_spill(sheds: bool, expected: str | None) -> None:  # noqa: FBT001 - a case
    """When all are full, a pool that sheds has nobody, and one that spills goes by weight."""
    full = [line("a", 100, 4, limit=4), line("b", 50, 4, limit=4)]
    chosen = choose(full, 0.0, (), sheds=sheds)
    assert (chosen and chosen.endpoint) == expected


def test_a_server_that_refuses_is_given_up_for_a_while() -> None:
    """After two failures it is skipped for half a minute."""
    one = line("a", 100, 0)
    one.refuse(0.0)
    assert choose([one], 1.0, (), sheds=False) is one
    one.refuse(1.0)
    assert choose([one], 30.0, (), sheds=False) is None
    assert choose([one], 31.0, (), sheds=False) is one


def test_buckets_hold_those_below_them() -> None:
    """A value on a bound counts in its bucket, and parts add up to whole numbers."""
    histogram = Histogram([1.0, 2.0])
    histogram.observe(1.0)
    histogram.observe_about(1.5, 3.0)
    assert dict(histogram.samples("x", 'a="b"')) == {
        'x_bucket{a="b",le="1.0"}': 1,
        'x_bucket{a="b",le="2.0"}': 4,
        'x_bucket{a="b",le="+Inf"}': 4,
        'x_count{a="b"}': 4,
        'x_sum{a="b"}': 5.5,
    }
