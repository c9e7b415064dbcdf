"""Which runs there are, and in what order."""

import pytest

from bench.real.plan import Router, Run, Scenario, order, runs, scenarios

A, B, C = Router.ROUND_ROBIN, Router.LEAST_CONN, Router.VLLM_ROUTER


def test_the_lowest_load_is_run_again_with_a_throttled_server() -> None:
    """The throttled scenario comes last, whatever the order of the loads."""
    assert scenarios([90, 60], throttle=True) == (
        Scenario(90),
        Scenario(60),
        Scenario(60, throttled=True),
    )
    assert scenarios([90, 60], throttle=False) == (Scenario(90), Scenario(60))


def test_every_router_meets_every_load_in_every_repeat() -> None:
    """A repeat is whole before the next one begins, and no run is there twice."""
    loads = scenarios([60, 90], throttle=True)
    plan = runs(loads, tuple(Router), 3)
    assert len({run.key for run in plan}) == len(plan) == 3 * len(loads) * len(Router)
    assert [run.repeat for run in plan] == sorted(run.repeat for run in plan)


def test_throttled_runs_may_be_repeated_less_often() -> None:
    """The later repeats leave them out, for all routers alike."""
    plan = runs(scenarios([60], throttle=True), tuple(Router), 3, 2)
    throttled = [run.repeat for run in plan if run.scenario.throttled]
    assert throttled == [0] * len(Router) + [1] * len(Router)
    assert len(plan) == 5 * len(Router)


def test_every_router_is_first_once_before_any_is_first_again() -> None:
    """The first place goes round."""
    routers = [router for router in Router if router is not Router.CAPACITY_WARM]
    assert [order(routers, turn)[0] for turn in range(len(routers))] == routers


def test_every_other_turn_goes_backwards() -> None:
    """A router does not always come after the same one."""
    assert [order([A, B, C], turn) for turn in range(3)] == [(A, B, C), (B, A, C), (C, A, B)]


@pytest.mark.parametrize("turn", range(6))
def test_who_needs_a_memory_comes_right_after_who_leaves_it(turn: int) -> None:
    """The warm controller follows the cold one in every order."""
    turned = order(tuple(Router), turn)
    assert turned.index(Router.CAPACITY_WARM) == turned.index(Router.CAPACITY) + 1


def test_a_memory_stems_from_the_undisturbed_run_of_the_same_repeat() -> None:
    """The warm controller has never seen the server slowed, also where it is about to be."""
    loads = scenarios([60, 90], throttle=True)
    plan = runs(loads, tuple(Router), 2)
    for at, run in enumerate(plan):
        if (source := run.remembers) is not None:
            assert run.router is Router.CAPACITY_WARM
            assert source == Run(Scenario(run.scenario.percent), Router.CAPACITY, run.repeat)
            assert source in plan[:at]


def test_routers_share_the_seeds_of_a_repeat() -> None:
    """The same requests come to all routers, others in every repeat."""
    plan = runs(scenarios([60], throttle=True), tuple(Router), 2)
    assert {run.seed for run in plan if run.repeat == 0} == {1}
    assert {run.seed for run in plan if run.repeat == 1} == {2}
