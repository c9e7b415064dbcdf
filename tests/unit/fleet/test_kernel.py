"""The kernel does what the reference engine does, token for token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simulator.fleet import layout
from simulator.fleet.advancing import advance
from simulator.fleet.events import SetKvBlocks, SetSpeed, happen
from simulator.fleet.pool import EngineSpec, Pool, Workload
from simulator.fleet.worlds import Rules, new_world
from tests.unit.fleet.reference import play
from tests.unit.simulator.engines import SMALL

if TYPE_CHECKING:
    from simulator.fleet.layout import World
    from simulator.parameters import EngineParameters

Change = SetSpeed | SetKvBlocks


def _case(seed: int) -> tuple[EngineParameters, Workload, list[Change]]:
    """An engine with little room and more work than it can do at once, changed while it works."""
    draw = np.random.Generator(np.random.PCG64(seed))
    parameters = replace(
        SMALL,
        max_num_batched_tokens=int(draw.choice([8, 24, 64])),
        max_num_seqs=int(draw.choice([2, 4, 8])),
        num_gpu_blocks=int(draw.integers(8, 24)),
        step_base_s=float(draw.uniform(0.01, 0.5)),
    )
    count = 60
    workload = Workload(
        np.cumsum(draw.exponential(draw.choice([0.5, 2.0, 10.0]), count)),
        draw.integers(1, 120, count),
        draw.integers(1, 60, count),
    )
    end_s = float(workload.arrival_s[-1])
    events: list[Change] = [
        SetSpeed(float(at_s), 0, float(draw.uniform(0.2, 3.0)))
        for at_s in draw.uniform(0, end_s, 4)
    ]
    events += [
        SetKvBlocks(float(at_s), 0, int(draw.integers(6, 24))) for at_s in draw.uniform(0, end_s, 4)
    ]
    return parameters, workload, events


def _kernel(parameters: EngineParameters, workload: Workload, events: list[Change]) -> World:
    world = new_world(Pool((EngineSpec(parameters),)), workload, Rules(mode=layout.ROUND_ROBIN))
    for event in sorted(events, key=lambda each: each.at_s):
        advance(world, event.at_s)
        happen(world, event)
    advance(world, np.inf)
    return world


@pytest.mark.parametrize("seed", range(40))
def test_every_request_has_the_times_that_the_engine_gives_it(seed: int) -> None:
    """First and last tokens, preemptions and refusals are those of the reference engine."""
    parameters, workload, events = _case(seed)
    expected = play(parameters, workload, events)
    requests = _kernel(parameters, workload, events).requests
    status = requests["status"]
    assert set(np.flatnonzero(status == layout.REFUSED)) == expected.refused
    assert set(np.flatnonzero(status == layout.FAILED)) == expected.failed
    assert set(np.flatnonzero(status == layout.DONE)) == set(expected.finished)
    for index, (first_s, finished_s, preemptions) in expected.finished.items():
        assert requests[index]["first_token"] == pytest.approx(first_s, abs=1e-9)
        assert requests[index]["finished"] == pytest.approx(finished_s, abs=1e-9)
        assert requests[index]["preemptions"] == preemptions


@pytest.mark.parametrize("seed", range(40))
def test_the_counters_and_gauges_are_those_of_the_engine(seed: int) -> None:
    """What /metrics would show at the end is what the reference engine's steps add up to."""
    parameters, workload, events = _case(seed)
    expected = play(parameters, workload, events)
    engine = _kernel(parameters, workload, events).engines[0]
    assert engine["steps"] == expected.steps
    assert engine["generation_tokens"] == expected.tokens
    assert engine["prompt_tokens"] == expected.prompt_tokens
    assert engine["preemptions"] == expected.preemptions
    assert engine["itl_count"] == expected.gaps
    assert engine["itl_seconds"] == pytest.approx(expected.gap_s)
    assert engine["finished"] == len(expected.finished)
    gauges = (engine["shown_running"], engine["shown_waiting"], engine["shown_usage"])
    assert gauges == expected.gauges
    assert engine["used"] == engine["inflight"] == 0


def test_the_cases_hold_what_is_to_be_compared() -> None:
    """Among the random cases are preemptions, chunked prompts, refusals and failures."""
    played = [play(*_case(seed)) for seed in range(40)]
    assert sum(each.preemptions > 0 for each in played) > 10
    assert sum(bool(each.refused) for each in played) > 10
    assert any(each.failed for each in played)
    assert any(_case(seed)[0].max_num_batched_tokens < 120 for seed in range(40))
