"""Capacity learns what each backend can carry, whatever share it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from controller.core.memory import Applied, Memory
from controller.core.model import Server, Signal
from controller.core.policy import PolicyMemory, Targets
from controller.core.settings import PoolSpec
from controller.policy.capacity import Capacity
from simulator.fleet.events import SetKvBlocks, SetSpeed
from simulator.fleet.pool import EngineSpec, Floats, Pool, Workload
from simulator.fleet.routers import Controlled
from simulator.fleet.running import run
from simulator.fleet.saturation import pool_rates
from simulator.presets import A100, H100, L4, LAB

A, B, C, D = (f"10.0.0.{number}:8000" for number in range(1, 5))

# Two fast servers, a medium and a slow one; and the engines of the measurements on real vLLM, whose
# steps are mostly fixed cost and which run 16 sequences at most.
GPUS = Pool(tuple(EngineSpec(gpu) for gpu in (H100, H100, A100, L4)))


def labs(max_num_seqs: int) -> Pool:
    """The same with so many sequences at most."""
    engine = replace(LAB, max_num_seqs=max_num_seqs)
    return Pool(tuple(EngineSpec(engine, speed) for speed in (1.0, 0.5, 1.0, 0.25)))


LABS = labs(LAB.max_num_seqs)

# Requests per second at half of what each pool carries, and mean lengths of prompts and answers.
HALF = {GPUS: (20.0, 1100, 200), LABS: (6.0, 60, 120)}

SPLITS = [(100, 100, 100, 100), (100, 70, 80, 30), (100, 40, 50, 10)]


class Held:
    """Capacity that learns while the weights stay as they are given."""

    name: ClassVar[str] = "held"
    needs: ClassVar[frozenset[Signal]] = Capacity.needs

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights = weights
        self.wanted: list[Targets] = []

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """Keep what Capacity would want, and want the given weights."""
        wanted, memory = Capacity().step(signals, memory)
        self.wanted.append(wanted)
        return Targets(dict(zip(sorted(signals), self.weights, strict=True))), memory

    def neutral(self, backends: Sequence[str], memory: PolicyMemory) -> Mapping[str, float]:
        """What Capacity says."""
        return Capacity().neutral(backends, memory)


def requests(pool: Pool, duration_s: float, seed: int = 0) -> Workload:
    """Independent arrivals, with lengths as skewed as those of chats."""
    rate, prompt, output = HALF[pool]
    draw = np.random.Generator(np.random.PCG64(seed))
    arrival_s = np.cumsum(draw.exponential(1 / rate, int(1.2 * rate * duration_s) + 100))
    skew = draw.lognormal(-0.5, 1.0, (2, len(arrival_s)))
    lengths = 1 + (np.array([[prompt], [output]]) * skew).astype(int)
    model_len = pool.engines[0].parameters.max_model_len
    return Workload(arrival_s, *lengths).clipped(model_len).until(duration_s)


def learned(
    pool: Pool,
    events: Sequence[SetSpeed | SetKvBlocks] = (),
    *,
    weights: Sequence[float] = SPLITS[1],
    duration_s: float = 300.0,
) -> list[Targets]:
    """What Capacity wants at each tick (every 10 s) of a run with weights that stay."""
    held = Held(weights)
    run(
        pool,
        requests(pool, duration_s),
        Controlled(spec=PoolSpec("llm", held, pool.addresses)),
        events,
        duration_s=duration_s,
        drain_s=0.0,
    )
    return held.wanted


def ratios(pool: Pool, targets: Targets) -> Floats:
    """The weights over that of the first server."""
    found = np.array([targets.weights[address] for address in pool.addresses])
    return np.asarray(found / found[0])


@pytest.mark.parametrize("pool", [GPUS, LABS], ids=["gpus", "lab"])
def test_what_is_learned_does_not_depend_on_the_share(pool: Pool) -> None:
    """Held at three different splits, the learned ratios of capacities agree within 15 %."""
    found = [ratios(pool, learned(pool, weights=weights)[-1]) for weights in SPLITS]
    assert np.all(np.max(found, axis=0) <= 1.15 * np.min(found, axis=0)), found


@pytest.mark.parametrize(("pool", "within"), [(GPUS, 1.35), (LABS, 1.15)], ids=["gpus", "lab"])
def test_what_is_learned_is_what_a_queue_without_end_gets_done(pool: Pool, within: float) -> None:
    """The learned ratios are near those of the rates at which saturated servers work."""
    true = np.array(pool_rates(pool, requests(pool, 300.0)))
    off = ratios(pool, learned(pool)[-1]) / (true / true[0])
    assert np.all((off <= within) & (off >= 1 / within)), off


@pytest.mark.parametrize("pool", [GPUS, LABS], ids=["gpus", "lab"])
def test_a_throttle_is_seen_within_three_ticks(pool: Pool) -> None:
    """30 s after a server was slowed to a third, less than 60 % of its share is left."""
    wanted = learned(pool, [SetSpeed(200.0, 0, 1 / 3)])
    before, after = wanted[18].weights, wanted[22].weights
    one, other = pool.addresses[0], pool.addresses[2]
    assert after[one] / after[other] < 0.6 * before[one] / before[other]


@pytest.mark.parametrize("slower", [2, 3, 5, 10])
def test_a_throttle_is_seen_whatever_is_to_do(slower: int) -> None:
    """A throttle that comes in a quiet tick is no scatter, and is believed in the next busy one."""
    well = [{a: signals(0.02, load) for a in (A, B)} | {C: signals(0.08, 4)} for load in LOADS * 3]
    ill = [tick | {A: signals(0.02 * slower, tick[B][Signal.RUNNING])} for tick in well]
    quiet, busy = LOADS.index(3), LOADS.index(9)
    targets, _ = after([*well, ill[quiet], ill[busy]])
    assert targets.weights[A] == pytest.approx(100 / slower, rel=0.15)


def test_a_tenant_in_the_cache_is_seen_within_four_ticks() -> None:
    """40 s after most KV blocks of a server were taken, its slots are near what is left."""
    wanted = learned(GPUS, [SetKvBlocks(200.0, 0, 900)])
    assert wanted[18].max_conns.get(GPUS.addresses[0], 256) > 30
    assert wanted[23].max_conns[GPUS.addresses[0]] < 25
    assert wanted[23].weights[GPUS.addresses[0]] < 0.5 * wanted[23].weights[GPUS.addresses[1]]


def test_a_tenant_that_left_is_seen_within_four_ticks() -> None:
    """40 s after the KV blocks came back, so did the share."""
    wanted = learned(GPUS, [SetKvBlocks(0.0, 0, 900), SetKvBlocks(200.0, 0, 25710)])
    assert wanted[18].weights[GPUS.addresses[0]] < 0.5 * wanted[18].weights[GPUS.addresses[1]]
    assert wanted[23].weights[GPUS.addresses[0]] > 0.7 * wanted[23].weights[GPUS.addresses[1]]


def signals(
    step_s: float,
    running: float,
    *,
    waiting: float = 0,
    kv_usage: float | None = None,
    prompts_per_token: float = 0.5,
    counts_steps: bool = True,
) -> dict[str, float]:
    """What an engine on the line with h = 40, g = 100 says while so many sequences decode."""
    time = step_s * (1 + running / 40 + prompts_per_token * running / 100)
    found: dict[str, float] = {
        Signal.RUNNING: running,
        Signal.WAITING: waiting,
        Signal.ITL_SECONDS_RATE: running,
        Signal.ITL_COUNT_RATE: running / time,
        Signal.GENERATION_RATE: running / time,
        Signal.PREFILL_RATE: prompts_per_token * running / time,
    }
    if counts_steps:
        found[Signal.ENGINE_STEP_RATE] = 1 / time
    if kv_usage is not None:
        found[Signal.KV_USAGE] = kv_usage
    return found


def after(history: Sequence[Mapping[str, Mapping[str, float]]]) -> tuple[Targets, PolicyMemory]:
    """The targets after some ticks, and the memory."""
    targets = Targets({})
    memory: PolicyMemory = {}
    for tick in history:
        targets, memory = Capacity().step(tick, memory)
    return targets, memory


LOADS = [3, 9, 5, 12, 7, 14, 4, 10, 6, 13]


@pytest.mark.parametrize("counts_steps", [True, False])
def test_speeds_are_told_from_loads(*, counts_steps: bool) -> None:
    """A slow server with little to do and a fast one with much get weights by their speed."""
    history = [
        {
            A: signals(0.02, 2 * load, counts_steps=counts_steps),
            B: signals(0.06, load / 2, counts_steps=counts_steps),
        }
        for load in LOADS * 3
    ]
    targets, _ = after(history)
    assert targets.weights[A] / targets.weights[B] == pytest.approx(3, rel=0.1)


def test_servers_alike_are_equals() -> None:
    """Differences within the noise make no difference."""
    draw = np.random.Generator(np.random.PCG64(1))
    history = [
        {
            address: signals(0.02 * draw.lognormal(0, 0.05), load, kv_usage=0.01 * load)
            for address in (A, B, C)
        }
        for load in LOADS
    ]
    for end in range(1, len(history)):
        targets, _ = after(history[:end])
        assert set(targets.weights.values()) == {100.0}
        assert not targets.max_conns


def test_the_first_glance_changes_nothing() -> None:
    """One tick with traffic is not enough to tell servers apart."""
    targets, _ = after([{A: signals(0.02, 5), B: signals(0.2, 5)}])
    assert set(targets.weights.values()) == {100.0}


def test_what_is_served_stays_until_something_is_learned() -> None:
    """A controller that lost its memory leaves the weights alone that it finds in the file."""
    found = tuple(Server(a, w) for a, w in zip(GPUS.addresses, (100, 90, 40, 5), strict=True))
    memory = Memory(applied=Applied("0" * 16, None, {"llm": found}))
    result = run(
        GPUS,
        requests(GPUS, 15.0),
        Controlled(spec=PoolSpec("llm", Capacity(), GPUS.addresses), memory=memory),
        duration_s=15.0,
        drain_s=0.0,
    )
    (tick,) = result.ticks
    assert tick.decision.pools["llm"].target.servers == found


def test_who_has_not_been_seen_at_work_gets_the_median() -> None:
    """A server without traffic has the middle weight until it is seen at work."""
    idle: dict[str, float] = dict.fromkeys(Capacity.needs, 0.0)
    steps = {A: 0.02, B: 0.04, C: 0.2}
    history = [{a: signals(s, load) for a, s in steps.items()} | {D: idle} for load in LOADS]
    targets, memory = after(history)
    assert targets.weights[D] == targets.weights[B]
    assert targets.details[D] == "no traffic to learn from yet"
    neutral = Capacity().neutral([A, D, "10.0.0.9:8000"], memory)
    assert neutral == {A: 100.0, D: targets.weights[B], "10.0.0.9:8000": targets.weights[B]}


def test_a_small_cache_is_a_small_capacity() -> None:
    """Of two equally fast servers the one whose cache holds a tenth carries less, and has slots."""
    history = [
        {A: signals(0.02, load, kv_usage=load / 200), B: signals(0.02, load, kv_usage=load / 20)}
        for load in [*LOADS, 18]
    ]
    targets, _ = after(history)
    assert targets.max_conns == {A: 32, B: 18}
    assert targets.counted == targets.tried == {A}
    assert targets.weights[B] < 50
    assert "18 slots (KV cache)" in targets.details[B]


def test_the_limit_of_the_engines_is_found() -> None:
    """Requests that wait again and again while the same number run give the limit of the pool."""
    slow, fast = signals(0.08, 6), signals(0.02, 20, waiting=3)
    history = [{A: signals(0.02, load), B: signals(0.08, load / 2)} for load in LOADS]
    before, _ = after(history)
    targets, _ = after([*history, *[{A: fast, B: slow}] * 3])
    assert before.max_conns == {A: 16, B: 16}
    assert targets.max_conns == {A: 20, B: 20}
    assert "20 slots (the engine's limit)" in targets.details[A]


def test_with_short_prompts_the_first_sighting_counts() -> None:
    """Who waits beside a cache with room, and not for long prompts, waits for a sequence."""
    history = [{A: signals(0.02, load), B: signals(0.08, load)} for load in LOADS]
    crowd, other = signals(0.02, 20, waiting=1), signals(0.08, 6)
    short = {Signal.FINISHED_RATE: crowd[Signal.PREFILL_RATE] / 100}
    found, _ = after([*history, *[{A: crowd | short, B: other}] * 2])
    long, _ = after([*history, *[{A: crowd, B: other}] * 2])
    assert (found.max_conns, long.max_conns) == ({A: 20, B: 20}, {A: 32, B: 32})


def test_what_was_learned_is_reported() -> None:
    """The tokens per second are those of the weights; slots are told once they are known."""
    history = [{A: signals(0.02, load), B: signals(0.08, load / 2)} for load in LOADS]
    before, _ = after(history)
    crowd = {A: signals(0.02, 16, waiting=3), B: signals(0.08, 6)}
    found, memory = after([*history, *[crowd] * 3])
    assert {each.slots for each in before.carries.values()} == {None}
    assert {each.slots for each in found.carries.values()} == {16}
    ratio = found.carries[B].tokens_per_s / found.carries[A].tokens_per_s
    assert ratio == pytest.approx(found.weights[B] / found.weights[A])
    gone, _ = Capacity().step({A: crowd[A]}, memory)
    assert gone.carries.keys() == {A, B}


def test_a_handful_of_sequences_is_no_limit() -> None:
    """Small numbers of running requests repeat themselves by chance."""
    history = [{A: signals(0.02, 3, waiting=1), B: signals(0.08, 2)} for _ in range(9)]
    assert after(history)[0].max_conns == {A: 8, B: 8}


@pytest.mark.parametrize(
    ("most", "tried"), [(1, 8), (8, 8), (9, 16), (17, 32), (64, 64), (65, None)]
)
def test_while_the_limit_is_unknown_no_server_gets_far_more_than_was_seen(
    most: float, tried: int | None
) -> None:
    """Of servers that differ none is filled beyond the next power of two before the others."""
    history = [{A: signals(0.02, most), B: signals(0.08, 1)}] * 2
    targets, _ = after(history)
    assert targets.max_conns == ({} if tried is None else {A: tried, B: tried})
    assert targets.tried == targets.counted == targets.max_conns.keys()


def beside_prompts(prompts_per_token: float, running: float = 4) -> dict[str, dict[str, float]]:
    """A fast server and a slow one with so many prompt tokens per generated one."""
    return {
        a: signals(step, running, prompts_per_token=prompts_per_token)
        for a, step in ((A, 0.02), (B, 0.08))
    }


@pytest.mark.parametrize(("prompts_per_token", "limits"), [(15.9, {A: 8, B: 8}), (16.1, {})])
def test_sequences_beside_long_prompts_say_nothing_of_a_limit(
    prompts_per_token: float, limits: Mapping[str, int]
) -> None:
    """Where steps are made of prompts few sequences run, so nothing is held back for their sake."""
    assert after([beside_prompts(prompts_per_token)] * 9)[0].max_conns == limits


def test_a_trial_does_not_come_and_go_with_the_mix_of_requests() -> None:
    """It begins below one share of prompts, ends above another, and in between stays as it is."""
    limits: list[bool] = []
    memory: PolicyMemory = {}
    for ratio in (15, 31, 15, 31, 34, 31, 17, 31, 10):
        # So many ticks that little is left of the mix before.
        for _ in range(150):
            targets, memory = Capacity().step(beside_prompts(ratio), memory)
        limits.append(bool(targets.max_conns))
    assert limits == [True] * 4 + [False] * 4 + [True]


def test_a_trial_that_is_met_in_quiet_is_doubled_and_ends() -> None:
    """What a server runs for minutes with nobody waiting is no limit, though it is sent no more."""
    full = {A: signals(0.02, 16), B: signals(0.08, 2)}
    sent: list[int | None] = []
    memory: PolicyMemory = {}
    for _ in range(400):
        targets, memory = Capacity().step(full, memory)
        sent.append(targets.max_conns.get(A))
        full[A] = signals(0.02, sent[-1] or full[A][Signal.RUNNING])
    changes = [after for before, after in pairwise(sent) if before != after]
    assert changes == [16, 32, 64, None]
    assert targets.max_conns == {}
    assert min(sent.count(limit) for limit in (16, 32, 64)) > 50


def test_a_trial_where_requests_wait_goes_on() -> None:
    """While somebody waits ever again, a server that is full may be at its own limit."""
    calm = {A: signals(0.02, 16), B: signals(0.08, 2)}
    busy = {A: signals(0.02, 15, waiting=1), B: signals(0.08, 2)}
    assert after([*[calm] * 4, busy] * 40)[0].max_conns == {A: 16, B: 16}
    assert after([*[calm] * 19, busy] * 5)[0].max_conns == {A: 32, B: 32}
    assert after([calm] * 52)[0].max_conns == {A: 16, B: 16}
    assert after([calm] * 200)[0].max_conns == {A: 32, B: 32}


def test_that_a_trial_ended_is_known() -> None:
    """Nobody needs to wait until the limits are gone that it brought, nor after they are."""
    few, many = ({A: signals(0.02, n), B: signals(0.08, 2)} for n in (40, 70))
    tried, ended = after([few] * 4)[0], after([*[few] * 4, *[many] * 4])[0]
    assert tried.max_conns == {A: 64, B: 64}
    assert ended.max_conns == {}
    assert (sorted(ended.counted), sorted(ended.tried)) == ([A, B], [])


def test_a_trial_is_doubled_once_for_who_is_away() -> None:
    """A server that was quiet long enough and then vanished says nothing more."""
    calm = {A: signals(0.02, 14), B: signals(0.08, 2), C: signals(0.08, 2)}
    for ticks in range(50, 70):
        _, memory = after([calm] * ticks)
        for _ in range(200):
            targets, memory = Capacity().step({B: calm[B], C: calm[C]}, memory)
        assert targets.max_conns in ({B: 16, C: 16}, {B: 32, C: 32})
        assert memory[B]["ticks"] > 200


def test_a_trial_has_who_holds_less_in_it() -> None:
    """A small cache is a limit beside those that are tried, and does not come and go with them."""
    history = [
        {A: signals(0.02, load), B: signals(0.08, 3, kv_usage=3 / fits)}
        for load in [10, 14, 12]
        for fits in (16, 20, 18, 24, 15, 22)
    ]
    wanted = [after(history[:end])[0].max_conns for end in range(3, len(history))]
    assert all(each.keys() == {A, B} for each in wanted)
    assert all(each[B] < 16 or each[B] == each[A] for each in wanted)


def test_who_joins_its_like_gets_their_limit() -> None:
    """Servers that became alike keep their limits, and one more of them gets the same."""
    unlike = {A: signals(0.02, 10), B: signals(0.08, 5)}
    crowd = {A: signals(0.02, 10, waiting=1), B: signals(0.08, 5)}
    alike = dict.fromkeys((A, B), signals(0.02, 10))
    joined = alike | {C: signals(0.02, 10)}
    tried, found = (
        after([*[first] * 4, *[alike] * 9, *[joined] * 4])[0] for first in (unlike, crowd)
    )
    assert tried.max_conns == {A: 16, B: 16, C: 16}
    assert found.max_conns == {A: 10, B: 10, C: 10}


def test_a_limit_that_was_found_outlasts_looks_at_the_wrong_moment() -> None:
    """Some short answers are always just done; only more, or another number often, refutes it."""
    crowd, short, other, least, more = (
        {A: signals(0.02, n, waiting=9), B: signals(0.08, 6)} for n in (24, 22, 18, 16, 25)
    )
    found = [crowd] * 3
    assert after([*found, *[short] * 99])[0].max_conns == {A: 24, B: 24}
    assert after([*found, *[other] * 40])[0].max_conns == {A: 24, B: 24}
    assert after([*found, *[*[other] * 30, crowd] * 9])[0].max_conns == {A: 24, B: 24}
    assert after([*found, *[other, least] * 30])[0].max_conns == {A: 18, B: 18}
    assert after([*found, more])[0].max_conns == {A: 32, B: 32}


def test_a_limit_that_is_lost_leaves_none() -> None:
    """What is assumed of engines is no limit, for who had one either."""
    crowd, many = ({A: signals(0.02, n, waiting=9), B: signals(0.08, 6)} for n in (24, 90))
    assert after([*[crowd] * 3, *[many] * 2])[0].max_conns == {}


def test_servers_of_one_speed_may_have_unlike_limits() -> None:
    """Who was seen to run more than its like can is not held to their limit."""
    mixed = {A: signals(0.02, 16, waiting=3), B: signals(0.02, 60), C: signals(0.08, 6)}
    targets, _ = after([mixed] * 4)
    assert targets.max_conns == {A: 16, B: 60, C: 16}
    assert sorted(targets.counted) == [A, C]


def test_of_two_limits_that_of_others_is_an_estimate() -> None:
    """Which one a server has that showed none may change with its speed, and so with the noise."""
    mixed = {
        A: signals(0.02, 16, waiting=3),
        B: signals(0.1, 24, waiting=3),
        C: signals(0.025, 5),
    }
    targets, _ = after([mixed] * 4)
    assert targets.max_conns.keys() == {A, B, C}
    assert sorted(targets.counted) == [A, B]


@pytest.mark.parametrize(("limit", "output"), [(24, 20), (16, 10), (72, 60)])
def test_a_full_pool_is_not_reloaded_ever_again(limit: int, output: int) -> None:
    """With short answers an engine is seldom seen with all that it takes, and keeps its limit."""
    pool = labs(limit)
    draw = np.random.Generator(np.random.PCG64(2))
    lengths = 1 + (np.array([[60], [output]]) * draw.lognormal(-0.5, 1.0, (2, 60_000))).astype(int)
    mix = Workload(np.arange(60_000.0), *lengths).clipped(LAB.max_model_len)
    rate = 1.1 * sum(pool_rates(pool, mix))
    load = replace(mix, arrival_s=np.cumsum(draw.exponential(1 / rate, 60_000))).until(900.0)
    result = run(
        pool,
        load,
        Controlled(spec=PoolSpec("llm", Capacity(), pool.addresses), interval_s=5.0),
        duration_s=900.0,
        drain_s=0.0,
    )
    assert len(result.changes) <= 5


def test_a_server_that_runs_more_than_the_limit_of_others_is_not_counted() -> None:
    """A number that grows with every look is an estimate; the limit that was found is none."""
    crowd = {A: signals(0.02, 16, waiting=3), B: signals(0.08, 6)}
    more = {A: signals(0.02, 16, waiting=3), B: signals(0.08, 19)}
    found, later = after([crowd] * 4)[0], after([*[crowd] * 4, more])[0]
    assert (found.max_conns, later.max_conns) == ({A: 16, B: 16}, {A: 16, B: 19})
    assert (sorted(found.counted), sorted(later.counted)) == ([A, B], [A])
    assert not found.tried
    same = {A: signals(0.02, 16, waiting=3), B: signals(0.08, 16)}
    assert sorted(after([*[crowd] * 4, same])[0].counted) == [A, B]


def test_a_limit_that_was_found_counts_while_its_server_is_away() -> None:
    """Nothing is tried in a pool of which a limit is known, whoever is there to show it."""
    crowd = {A: signals(0.02, 20, waiting=3), B: signals(0.08, 6), C: signals(0.02, 6)}
    _, memory = after([crowd] * 4)
    targets, _ = Capacity().step({B: crowd[B], C: crowd[C]}, memory)
    assert targets.max_conns == {B: 20, C: 20}
    assert not targets.tried


def test_a_limit_that_was_tried_grows_once_more_is_seen() -> None:
    """What was tried stays while it suffices, and follows what is seen to run, unlike or not."""
    few = [{A: signals(0.02, 10), B: signals(0.08, 5)}] * 4
    alike = [{A: signals(0.02, 10), B: signals(0.02, 10)}] * 9
    more = [{A: signals(0.02, 20), B: signals(0.02, 20)}]
    assert after([*few, *alike])[0].max_conns == {A: 16, B: 16}
    assert after([*few, *alike, *more])[0].max_conns == {A: 32, B: 32}


def test_a_limit_that_was_found_does_not_bound_admission() -> None:
    """A wrong limit could not be seen to be wrong while it turns requests away."""
    history = [{A: signals(0.02, 16, waiting=3), B: signals(0.02, 16)} for _ in range(9)]
    targets, _ = after(history)
    assert targets.admitted[A] > 40


def test_where_the_objective_is_out_of_reach_all_slots_are_admitted() -> None:
    """Turning requests away makes no step shorter than an empty one."""
    history = [{A: signals(0.11, load), B: signals(0.11, load)} for load in LOADS]
    targets, _ = after(history)
    assert targets.admitted == {A: 256, B: 256}


def test_a_limit_that_was_wanted_stays() -> None:
    """Backends that become alike keep the limits that they had while they differed."""
    crowd = [{A: signals(0.02, 16, waiting=3), B: signals(0.08, 6)}] * 4
    alike = [{A: signals(0.02, 10), B: signals(0.02, 10)}] * 9
    assert after(crowd)[0].max_conns == after([*crowd, *alike])[0].max_conns == {A: 16, B: 16}


def test_who_never_showed_its_cache_is_taken_for_its_like() -> None:
    """Of equally fast backends those without a sample of their cache share what the others show."""
    history = [
        {A: signals(0.02, load, kv_usage=load / 50), B: signals(0.02, load), C: signals(0.08, 5)}
        for load in LOADS
    ]
    targets, _ = after(history)
    assert targets.weights[A] == targets.weights[B]


@pytest.mark.parametrize("limit", [12, 16, 24])
def test_a_limit_that_was_found_is_written(limit: int) -> None:
    """Whatever the engines' own limit is, and whatever was tried before, Nginx learns it."""
    pool = labs(limit)
    told = requests(LABS, 300.0)
    # More than the fast servers take alone, in a burst that queues at their limit.
    burst = replace(told, arrival_s=np.minimum(told.arrival_s, 60 + told.arrival_s / 10))
    result = run(
        pool,
        burst,
        Controlled(spec=PoolSpec("llm", Capacity(), pool.addresses)),
        duration_s=300.0,
        drain_s=0.0,
    )
    confirmed = result.memories[0].applied
    assert confirmed
    assert {server.max_conns for server in confirmed.pools["llm"]} == {limit}


def test_an_assumed_limit_is_none() -> None:
    """Who runs nearly as many as engines mostly take by default may take more than that."""
    many = {A: signals(0.02, 250), B: signals(0.08, 5)}
    assert after([many] * 9)[0].max_conns == {}


def test_a_limit_that_is_told_need_not_be_found() -> None:
    """With `max_num_seqs` the slots are there with the first weights."""
    memory: PolicyMemory = {}
    for load in LOADS[:2]:
        tick = {A: signals(0.02, load), B: signals(0.08, load)}
        targets, memory = Capacity(max_num_seqs=20).step(tick, memory)
    assert targets.max_conns == {A: 20, B: 20}
    assert not targets.tried


def test_requests_that_wait_for_prompts_are_no_limit() -> None:
    """Waiting while ever other numbers run is no sign of a limit of sequences."""
    history = [
        {A: signals(0.02, 2 * load, waiting=load % 3), B: signals(0.08, load)} for load in LOADS * 3
    ]
    targets, _ = after(history)
    assert targets.max_conns == {A: 32, B: 32}
    assert "256 slots (assumed)" in targets.details[A]


def test_requests_that_wait_for_the_cache_are_no_limit() -> None:
    """Waiting beside a full cache tells of the cache alone."""
    history = [
        {
            A: signals(0.02, 20, waiting=4, kv_usage=0.95),
            B: signals(0.08, load, kv_usage=load / 100),
        }
        for load in LOADS
    ]
    targets, _ = after(history)
    assert targets.max_conns == {A: 19, B: 32}


def test_what_is_admitted_keeps_the_latency() -> None:
    """With as many sequences as are admitted, the inter-token latency is below its limit."""
    history = [{A: signals(0.02, load), B: signals(0.04, load)} for load in LOADS * 3]
    targets, _ = after(history)
    for address, step_s in ((A, 0.02), (B, 0.04)):
        admitted = targets.admitted[address]
        gap_s = step_s * (1 + admitted / 40 + 0.5 * admitted / 100)
        assert 0.06 < gap_s < 0.1


def damaged() -> dict[str, dict[str, float]]:
    """What a state file could hold of a backend, each with another fault."""
    _, memory = after([{A: signals(0.02, load, kv_usage=load / 50)} for load in LOADS])
    whole = dict(memory[A])
    without = {f"no {name}": {n: v for n, v in whole.items() if n != name} for name in whole}
    absurd = {
        f"{name} {value}": {**whole, name: value}
        for name in whole
        for value in (-1e200, -1e3, 0.0, 1e3, 1e200)
    }
    return without | absurd | {"another version": {"steps": 1.0}, "more": {**whole, "steps": 1.0}}


@pytest.mark.parametrize("fault", damaged())
def test_a_memory_that_cannot_be_is_begun_anew(fault: str) -> None:
    """Whatever is remembered, the next tick has weights, and what it remembers is whole."""
    targets, later = Capacity().step(
        {A: signals(0.02, 5), B: signals(0.02, 5)}, {A: damaged()[fault]}
    )
    assert all(0 < weight <= 100 for weight in targets.weights.values())
    assert later[A].keys() == later[B].keys()


@pytest.mark.parametrize("rate", [-1e5, 1e300])
def test_a_rate_that_cannot_be_is_bounded(rate: float) -> None:
    """A user's own PromQL for prompts can be wrong without stopping the controller."""
    odd = {Signal.PREFILL_RATE: rate, Signal.KV_USAGE: 50.0}
    targets, _ = after([{A: signals(0.02, load) | odd, B: signals(0.02, load)} for load in LOADS])
    assert all(0 < weight <= 100 for weight in targets.weights.values())
    assert targets.max_conns == {}


@pytest.mark.parametrize("name", [field.name for field in fields(Capacity)])
@pytest.mark.parametrize("value", [-1.0, float("nan"), 1e9])
def test_a_parameter_out_of_range_is_refused(name: str, value: float) -> None:
    """A parameter that makes no estimator is named, with what was expected."""
    with pytest.raises(ValueError, match=f"^{name}: expected .* in .*, got {value}$"):
        Capacity(**{name: value})  # type: ignore[arg-type]  # one of its fields


def test_all_faults_are_told_at_once() -> None:
    """Every parameter out of range is in the message."""
    with pytest.raises(ValueError, match=r"gain: .*; memory: "):
        Capacity(gain=2, memory=2)
