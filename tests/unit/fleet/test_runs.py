"""Whole runs: what the routers and the shipped controller make of a fleet."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from controller.core.policy import PolicyMemory, Targets
from controller.core.render import UpstreamOptions, WhenFull
from controller.core.settings import Limits, PoolSpec
from controller.policy.equal import Equal
from controller.policy.ladder import Ladder
from simulator.fleet import layout
from simulator.fleet.events import (
    Die,
    Event,
    Freeze,
    Join,
    Recover,
    SetKvBlocks,
    SetSpeed,
    TurnBlackHole,
    rolling_restart,
)
from simulator.fleet.pool import Workload
from simulator.fleet.routers import (
    Controlled,
    JoinShortestQueue,
    LeastConn,
    LongPrompts,
    NginxSetup,
    Oracle,
    PowerOfTwo,
    QueueKvScorer,
    RoundRobin,
    Router,
)
from simulator.fleet.running import run
from simulator.fleet.saturation import pool_rates
from tests.unit.fleet.fleets import lab_pool, steady

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.core.model import Signal
    from controller.core.policy import Policy
    from simulator.fleet.results import RunResult

POOL = lab_pool(1.0, 0.5, 1.0, 0.25)
EVERYTHING: tuple[Event, ...] = (
    SetSpeed(20.0, 0, 0.4),
    SetKvBlocks(25.0, 2, 120),
    TurnBlackHole(30.0, 1),
    Freeze(40.0, 2),
    Recover(70.0, 1),
    Recover(80.0, 2),
    *rolling_restart([0, 3], 90.0, 5.0, 5.0),
)


def controlled(policy: Policy, **more: object) -> Controlled:
    """The controller with a policy over the pool."""
    return Controlled(spec=PoolSpec("pool", policy, POOL.addresses), **more)  # type: ignore[arg-type]


ROUTERS: dict[str, Router] = {
    "round robin": RoundRobin(),
    "least_conn": LeastConn(),
    "private counters": LeastConn(nginx=NginxSetup(zone=False, workers=4)),
    "two replicas": LeastConn(nginx=NginxSetup(replicas=2)),
    "spill": LeastConn(weights=(100, 50, 100, 25), max_conns=(16, 16, 16, 16)),
    "admission": LeastConn(max_conns=(8, 8, 8, 8), nginx=NginxSetup(spill=False)),
    "retries": LeastConn(nginx=NginxSetup(retry_500=True, tries=3)),
    "ladder": controlled(Ladder()),
    "two controllers": controlled(Equal(), nginx=NginxSetup(replicas=2)),
    "power of two": PowerOfTwo(),
    "queue and KV": QueueKvScorer(),
    "shortest queue": JoinShortestQueue(),
    "oracle": Oracle(),
}


def shares(result: RunResult, start_s: float = 0.0, end_s: float = np.inf) -> list[float]:
    """The share of each server among the requests that arrived in an interval."""
    inside = (result.arrival_s >= start_s) & (result.arrival_s < end_s) & (result.server >= 0)
    counts = np.bincount(result.server[inside], minlength=len(POOL.engines))
    return [float(share) for share in counts / counts.sum()]


@pytest.mark.parametrize("name", ROUTERS)
def test_every_request_has_one_fate(name: str) -> None:
    """Whatever happens, each request ends once, in order, and nothing is left in the engines."""
    workload = steady(8.0, 120.0)
    result = run(
        POOL, workload, ROUTERS[name], EVERYTHING, duration_s=120.0, warmup_s=0.0, timeout_s=10.0
    )
    summary = result.summary()
    fates = (summary.done, summary.failed, summary.refused, summary.shed, summary.unfinished)
    assert sum(fates) == summary.requests == len(workload)
    assert summary.unfinished == 0
    assert summary.done > 0.5 * len(workload)
    done = result.status == layout.DONE
    assert np.all(result.dispatched_s[done] >= result.arrival_s[done])
    assert np.all(result.first_token_s[done] > result.dispatched_s[done])
    assert np.all(result.finished_s[done] >= result.first_token_s[done])
    assert not np.isnan(result.finished_s).any()


@pytest.mark.parametrize("name", ["two replicas", "ladder", "power of two", "queue and KV"])
def test_the_same_seed_gives_the_same_run(name: str) -> None:
    """Equal to the last bit; another seed gives another run."""
    first, second, other = (
        run(POOL, steady(8.0, 60.0), ROUTERS[name], EVERYTHING, seed=seed, duration_s=60.0)
        for seed in (3, 3, 4)
    )
    for column in fields(first):
        left, right = getattr(first, column.name), getattr(second, column.name)
        if isinstance(left, np.ndarray):
            assert np.array_equal(left, right, equal_nan=left.dtype.kind == "f"), column.name
    assert first.changes == second.changes
    if name != "ladder":
        assert not np.array_equal(first.server, other.server)


def test_a_black_hole_swallows_what_least_conn_sends_it() -> None:
    """It always looks idle, so it gets far more than its share, all of which fails."""
    result = run(POOL, steady(8.0, 120.0), LeastConn(), [TurnBlackHole(60.0, 3)], duration_s=120.0)
    assert shares(result, 60.0)[3] > 0.6
    after = result.summary(61.0, 120.0)
    assert after.failed > 0.6 * after.requests


def test_retries_on_500_save_the_requests_of_a_black_hole() -> None:
    """Another server is tried, and after two failures Nginx passes the black hole over."""
    router = LeastConn(nginx=NginxSetup(retry_500=True))
    result = run(POOL, steady(8.0, 120.0), router, [TurnBlackHole(60.0, 3)], duration_s=120.0)
    after = result.summary(61.0, 120.0)
    assert after.failed == 0
    assert 0 < after.retried < 20


def test_the_controller_ejects_a_black_hole() -> None:
    """Two ticks with more failures than answers, and the shipped health check takes it out."""
    result = run(
        POOL, steady(8.0, 180.0), controlled(Equal()), [TurnBlackHole(60.0, 3)], duration_s=180.0
    )
    ejections = [change for change in result.changes if change.reason == "ejection"]
    assert 60.0 < ejections[0].at_s < 100.0
    line = ejections[0].lines[3]
    assert line is not None
    assert line.down
    assert result.summary(100.0, 130.0).failed == 0


def test_a_refused_connection_is_tried_elsewhere() -> None:
    """Of a dead server only what was in flight is lost."""
    result = run(POOL, steady(8.0, 120.0), LeastConn(), [Die(60.0, 0)], duration_s=120.0)
    lost = result.status == layout.FAILED
    assert np.all(result.arrival_s[lost] < 60.0)
    assert 0 < lost.sum() < 20
    assert shares(result, 60.0)[0] == 0.0


def test_a_frozen_server_takes_requests_and_lets_them_time_out() -> None:
    """They fail 10 s after their last sign of life, and the gauges stand still meanwhile."""
    router = controlled(Equal(), limits=Limits(panic_threshold=1.0))
    result = run(
        POOL,
        steady(4.0, 120.0),
        router,
        [Freeze(60.0, 0)],
        duration_s=120.0,
        timeout_s=10.0,
    )
    lost = (result.status == layout.FAILED) & (result.arrival_s > 60.0)
    assert lost.sum() > 10
    waited_s = result.finished_s[lost] - result.arrival_s[lost]
    assert np.allclose(waited_s, 10.0)
    frozen = result.scrapes[0, :, layout.RUNNING][result.scrapes[0, :, layout.AT] > 60.0]
    assert len(set(frozen)) == 1


def test_a_throttled_server_slows_its_requests() -> None:
    """At a quarter of the speed a token takes four times as long."""
    result = run(
        lab_pool(1.0), steady(0.5, 400.0), LeastConn(), [SetSpeed(200.0, 0, 0.25)], duration_s=400.0
    )
    before, after = result.summary(0.0, 180.0), result.summary(200.0, 400.0)
    assert after.itl_mean_s == pytest.approx(4 * before.itl_mean_s, rel=0.1)


def test_fewer_kv_blocks_cause_preemptions() -> None:
    """A tenant that takes most of the cache makes the engine compute requests anew."""
    event = SetKvBlocks(60.0, 0, 40)
    result = run(lab_pool(1.0), steady(6.0, 120.0), LeastConn(), [event], duration_s=120.0)
    assert result.summary(0.0, 50.0).preemptions == 0
    assert result.summary(60.0, 120.0).preemptions > 10


def test_equal_weights_never_reload() -> None:
    """The file that Nginx started with is adopted, and stays."""
    result = run(POOL, steady(8.0, 300.0), controlled(Equal()), duration_s=300.0)
    assert result.changes == ()
    assert len(result.ticks) >= 30


def test_the_ladder_reloads_again_and_again() -> None:
    """Its weights follow the gauges, even within the limits that keep the controller calm."""
    result = run(POOL, steady(12.0, 300.0), controlled(Ladder()), duration_s=300.0)
    assert result.reloads >= 3
    assert len({change.lines for change in result.changes}) > 1


def test_the_controller_starts_from_its_memory() -> None:
    """With the memory of an earlier run Nginx serves what it did, and no first reload is due."""
    first = run(POOL, steady(8.0, 100.0), controlled(Equal()), duration_s=100.0)
    router = controlled(Equal(), memory=first.memories[0], epoch_s=2e9)
    assert run(POOL, steady(8.0, 100.0), router, duration_s=100.0).changes == ()


def test_forced_reloads_happen_on_time_and_spoil_least_conn() -> None:
    """Forgetting what is in flight every few seconds turns least_conn into round robin."""
    workload = steady(9.0, 300.0)
    calm = run(POOL, workload, LeastConn(), duration_s=300.0)
    forced = run(POOL, workload, LeastConn(reload_every_s=2.0), duration_s=300.0)
    assert [change.at_s for change in forced.changes][:3] == [2.0, 4.0, 6.0]
    assert forced.summary().ttft_p99_s > 1.5 * calm.summary().ttft_p99_s


def test_a_change_that_is_no_reload_forgets_nothing() -> None:
    """An upstream that is set again every 2 s, without a reload, moves no request."""
    workload = steady(8.0, 60.0)
    lasting, often = (
        run(
            POOL,
            workload,
            LeastConn(reload_every_s=period_s, nginx=NginxSetup(forgets=False)),
            duration_s=60.0,
        )
        for period_s in (0.0, 2.0)
    )
    assert often.reloads == 29
    assert np.array_equal(lasting.server, often.server)


def test_long_prompts_have_an_upstream_of_their_own() -> None:
    """From 60 tokens on they go where its weights say, whatever the other upstream's are."""
    split = LongPrompts(from_tokens=60, weights=(1, 0, 1, 0))
    router = LeastConn(weights=(0, 1, 1, 1), long_prompts=split)
    result = run(POOL, steady(8.0, 60.0), router, duration_s=60.0)
    for_long = result.prompt_tokens >= 60
    assert set(result.server[for_long]) == {0, 2}
    assert set(result.server[~for_long]) == {1, 2, 3}


@pytest.mark.parametrize("discovered", [True, False])
def test_a_server_that_joins_gets_requests_from_then_on(discovered: bool) -> None:  # noqa: FBT001  # a column of the table
    """Discovered or configured from the start: nothing before, a share after, and no failures."""
    event = Join(60.0, 3, discovered=discovered)
    result = run(POOL, steady(6.0, 240.0), LeastConn(), [event], duration_s=240.0)
    assert shares(result, 0.0, 60.0)[3] == 0.0
    assert shares(result, 120.0)[3] > 0.05
    assert result.summary().failed == 0


def test_the_controller_discovers_a_server_that_joins() -> None:
    """Without configured backends a new target of Prometheus becomes a member."""
    router = Controlled(spec=PoolSpec("pool", Equal(), None))
    event = Join(60.0, 3)
    result = run(POOL, steady(6.0, 180.0), router, [event], duration_s=180.0)
    joined = [change for change in result.changes if change.reason == "members"]
    assert 60.0 < joined[0].at_s < 80.0
    assert joined[0].lines[3] is not None
    assert shares(result, 0.0, 60.0)[3] == 0.0
    assert shares(result, 100.0)[3] > 0.05


def test_admission_sheds_and_a_shed_beside_a_free_server_is_false() -> None:
    """With too low limits the pool turns requests away that it could have served."""
    tight = LeastConn(max_conns=(2, 2, 2, 2), nginx=NginxSetup(spill=False))
    summary = run(POOL, steady(8.0, 120.0), tight, duration_s=120.0).summary()
    assert summary.shed > 100
    assert summary.false_sheds == summary.shed
    full = LeastConn(max_conns=(16, 16, 16, 16), nginx=NginxSetup(spill=False))
    summary = run(POOL, steady(30.0, 120.0), full, duration_s=120.0).summary()
    assert summary.shed > 100
    assert summary.false_sheds < 0.02 * summary.shed


def test_spilling_sheds_nothing() -> None:
    """The same limits with backups serve everybody."""
    router = LeastConn(max_conns=(2, 2, 2, 2))
    summary = run(POOL, steady(8.0, 120.0), router, duration_s=120.0).summary()
    assert summary.shed == 0
    assert summary.spilled > 100


@dataclass(frozen=True, slots=True)
class Slotted:
    """A policy of equal weights that gives every server three slots."""

    name: ClassVar[str] = "slotted"
    needs: ClassVar[frozenset[Signal]] = frozenset()

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """Three, whatever they do."""
        return Targets(dict.fromkeys(signals, 100.0), max_conns=dict.fromkeys(signals, 3)), memory

    def neutral(self, backends: Sequence[str], memory: PolicyMemory) -> Mapping[str, float]:
        """The same for all."""
        del memory
        return dict.fromkeys(backends, 100.0)


def slotted(when_full: WhenFull, replicas: int = 1) -> RunResult:
    """A run under a policy with slots, far beyond them."""
    options = UpstreamOptions(when_full=when_full)
    spec = PoolSpec("pool", Slotted(), POOL.addresses, options=options)
    # The opposite of what the pool says about spilling, which is not for the set-up to say.
    nginx = NginxSetup(replicas=replicas, spill=when_full is not WhenFull.SPILL)
    return run(POOL, steady(10.0, 120.0), Controlled(spec=spec, nginx=nginx), duration_s=120.0)


@pytest.mark.parametrize("when_full", WhenFull)
def test_a_controlled_pool_spills_or_sheds_as_its_option_says(when_full: WhenFull) -> None:
    """Only a pool that spills has backups, and only one that sheds turns requests away."""
    result = slotted(when_full)
    summary = result.summary()
    assert (summary.spilled > 100) == (when_full is WhenFull.SPILL)
    assert (summary.shed > 100) == (when_full is WhenFull.SHED)
    assert min(summary.spilled, summary.shed) == 0
    limits = {line.max_conns for change in result.changes for line in change.lines if line}
    assert limits == (set() if when_full is WhenFull.IGNORE else {3})


def test_controllers_divide_the_slots_of_a_server() -> None:
    """Behind two Nginx, three slots are two for each."""
    result = slotted(WhenFull.SHED, replicas=2)
    assert {change.replica for change in result.changes} == {0, 1}
    assert {line.max_conns for change in result.changes for line in change.lines if line} == {2}


def test_saturation_is_in_proportion_to_speed() -> None:
    """Half the speed carries half the requests."""
    rates = pool_rates(POOL, steady(8.0, 100.0))
    assert rates[1] == pytest.approx(rates[0] / 2, rel=1e-6)
    assert rates[0] == rates[2] == pytest.approx(16 / (60 * 0.028), rel=0.15)


def test_who_knows_more_is_faster() -> None:
    """On unlike servers capacities beat equal weights, and lengths known beat capacities."""
    workload = steady(0.8 * sum(pool_rates(POOL, steady(8.0, 100.0))), 600.0)
    names = ("oracle", "shortest queue", "least_conn", "round robin")
    e2e_p99_s = [
        run(POOL, workload, ROUTERS[name], duration_s=600.0).summary().e2e_p99_s for name in names
    ]
    assert e2e_p99_s == sorted(e2e_p99_s)


def test_the_time_until_the_slo_is_back_is_that_of_the_spoilt_arrivals() -> None:
    """A pool that is frozen for 20 s is back some time after that; one that is not never fell."""
    events = [Freeze(200.0, server) for server in range(4)]
    events_back = [Recover(220.0, server) for server in range(4)]
    result = run(POOL, steady(5.0, 400.0), LeastConn(), [*events, *events_back], duration_s=400.0)
    assert 20.0 <= result.slo_back_s(200.0) <= 60.0
    assert result.slo_back_s(100.0) == 0.0
    never = run(POOL, steady(5.0, 400.0), LeastConn(), events, duration_s=400.0)
    assert never.slo_back_s(200.0) == np.inf


def test_a_trace_is_replayed_at_the_rate_asked_for() -> None:
    """The mean rate holds over whole rounds, from any place; bursts and clips keep the lengths."""
    trace = steady(3.0, 500.0)
    replayed = trace.replayed(20.0, 1500 / 20.0, seed=5)
    assert len(replayed) == pytest.approx(1500, rel=0.02)
    assert not np.array_equal(replayed.prompt_tokens[:50], trace.prompt_tokens[:50])
    burst = replayed.with_burst(30.0, 10.0, 3)
    inside = (replayed.arrival_s >= 30.0) & (replayed.arrival_s < 40.0)
    assert len(burst) == len(replayed) + 2 * int(inside.sum())
    clipped = Workload(np.zeros(1), np.array([9000]), np.array([9000])).clipped(8192)
    assert (clipped.prompt_tokens[0], clipped.output_tokens[0]) == (4096, 4096)
