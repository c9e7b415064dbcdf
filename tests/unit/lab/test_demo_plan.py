"""The plan: a load that fits the backends, and times that fit the demo."""

import pytest

from lab.demo.plan import SPEEDS, capacity, make_plan
from lab.demo.routers import Router, generation_of, upstream_text

ADDRESSES = ["127.0.0.1:8001", "127.0.0.1:8002"]


def test_capacity_is_a_full_batch_per_step() -> None:
    """A backend with 16 sequences and steps of 28 ms makes 571 tokens/s, in proportion to speed."""
    assert capacity(1.0) == pytest.approx(571.4, abs=0.1)
    assert capacity(0.25) == pytest.approx(capacity(1.0) / 4)


@pytest.mark.parametrize("seconds", [30, 45, 60, 120, 600, 3600])
def test_the_turns_fit_into_the_demo(seconds: float) -> None:
    """The shares of all routers together stay within the time, from the shortest demo on."""
    plan = make_plan(seconds, left_s=seconds - 2)
    assert sum(plan.share_s.values()) < seconds - 2
    assert plan.sending_s >= 1
    assert all(arrival.at_s < plan.sending_s for arrival in plan.arrivals)


@pytest.mark.parametrize("seconds", [30, 120])
def test_the_load_is_high_but_bearable(seconds: float) -> None:
    """Before the throttle 60 to 65 % of the capacity are asked for, after it at most 90 %."""
    plan = make_plan(seconds, left_s=seconds)
    assert 0.60 <= plan.load_before <= 0.65
    assert 0.80 <= plan.load_after <= 0.90
    tokens = sum(arrival.output_tokens for arrival in plan.arrivals)
    offered = tokens / plan.sending_s / sum(map(capacity, SPEEDS.values()))
    assert offered == pytest.approx(plan.load_before, rel=0.2)


def test_routers_differ_in_nothing_but_how_they_choose() -> None:
    """Round robin's file lacks the line least_conn and is known by a generation of its own."""
    plain = upstream_text(Router.ROUND_ROBIN, ADDRESSES)
    least = upstream_text(Router.LEAST_CONN, ADDRESSES)
    assert generation_of(plain) == "round_robin"
    assert generation_of(plain) != generation_of(least)
    kept = [line for line in least.splitlines() if line.strip() != "least_conn;"]
    changed = [(a, b) for a, b in zip(plain.splitlines(), kept, strict=True) if a != b]
    assert [a.strip() for a, _ in changed] == ['default "round_robin";']
    assert upstream_text(Router.CONTROLLER, ADDRESSES) == least
