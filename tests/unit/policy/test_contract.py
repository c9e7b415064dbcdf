"""What every policy promises, whichever it is."""

import json
import math
from collections.abc import Mapping, Sequence
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from controller.core.model import Signal
from controller.core.policy import WEIGHT_MAX, Policy, PolicyMemory
from controller.policy.registry import REGISTRY

Signals = Mapping[str, Mapping[str, float]]

every_policy = pytest.mark.parametrize(
    "policy", [kind() for kind in REGISTRY.values()], ids=list(REGISTRY)
)
modestly = settings(deadline=None, derandomize=True, max_examples=30)

ADDRESSES = [f"10.0.0.{number}:8000" for number in range(1, 6)]
# As wide as what an engine may say: idle, loaded, full, just started, and running for a year.
RANGES: Mapping[Signal, st.SearchStrategy[float]] = {
    Signal.RUNNING: st.integers(0, 1000).map(float),
    Signal.WAITING: st.integers(0, 10_000).map(float),
    Signal.KV_USAGE: st.floats(0, 1),
    Signal.PREEMPTIONS_TOTAL: st.integers(0, 10**9).map(float),
    Signal.PREEMPTION_RATE: st.floats(0, 1000),
    Signal.PROMPT_RATE: st.floats(0, 1e6),
    Signal.PREFILL_RATE: st.floats(0, 1e6),
    Signal.GENERATION_RATE: st.floats(0, 1e6),
    Signal.ITL_SECONDS_RATE: st.floats(0, 1e3),
    Signal.ITL_COUNT_RATE: st.floats(0, 1e5),
    Signal.ENGINE_STEP_RATE: st.floats(0, 1e4),
    Signal.PROGRESS_RATE: st.floats(0, 1e4),
    Signal.FINISHED_RATE: st.floats(0, 1e4),
    Signal.FAILED_RATE: st.floats(0, 1e4),
    Signal.AWAKE: st.sampled_from([0.0, 1.0]),
}
BACKEND: st.SearchStrategy[dict[str, float]] = st.fixed_dictionaries(dict(RANGES))  # type: ignore[arg-type]  # a Signal is a str
# One with a good deal to do.
LOADED: Mapping[str, float] = {
    **dict.fromkeys(RANGES, 0.0),
    Signal.RUNNING: 50.0,
    Signal.WAITING: 2.0,
    Signal.KV_USAGE: 0.25,
    Signal.ITL_SECONDS_RATE: 50.0,
    Signal.ITL_COUNT_RATE: 1000.0,
    Signal.AWAKE: 1.0,
}
POOL = st.dictionaries(st.sampled_from(ADDRESSES), BACKEND, min_size=1)
HISTORY = st.lists(POOL, min_size=1, max_size=4)


def after(policy: Policy, history: Sequence[Signals]) -> PolicyMemory:
    """The memory after some ticks."""
    memory: PolicyMemory = {}
    for signals in history:
        _, memory = policy.step(signals, memory)
    return memory


@every_policy
@modestly
@given(history=HISTORY)
def test_shares_are_finite_positive_and_whole(policy: Policy, history: list[Signals]) -> None:
    """Each tick has a target for exactly the backends it saw, and their shares add up to 1."""
    memory: PolicyMemory = {}
    for signals in history:
        targets, memory = policy.step(signals, memory)
        assert targets.weights.keys() == signals.keys()
        assert all(0 < weight <= WEIGHT_MAX for weight in targets.weights.values())
        assert all(math.isfinite(share) and share > 0 for share in targets.shares.values())
        assert math.isclose(sum(targets.shares.values()), 1)
        assert targets.details.keys() <= signals.keys()
        assert targets.max_conns.keys() <= signals.keys()
        assert targets.unknown <= signals.keys()
        assert all(isinstance(limit, int) and limit >= 1 for limit in targets.max_conns.values())


@every_policy
@modestly
@given(history=HISTORY, order=st.randoms(use_true_random=False))
def test_the_order_of_backends_does_not_matter(
    policy: Policy, history: list[Signals], order: Random
) -> None:
    """Reordering the backends reorders their shares and changes none."""
    memory: PolicyMemory = {}
    turned: PolicyMemory = {}
    for signals in history:
        names = list(signals)
        order.shuffle(names)
        targets, memory = policy.step(signals, memory)
        others, turned = policy.step({name: signals[name] for name in names}, turned)
        assert targets.weights == others.weights
        assert targets.max_conns == others.max_conns
    assert memory == turned


@every_policy
@modestly
@given(past=st.lists(BACKEND, min_size=1, max_size=3), count=st.integers(1, 5))
def test_equal_signals_give_equal_shares(
    policy: Policy, past: list[Mapping[str, float]], count: int
) -> None:
    """Backends that were the same at every tick share equally."""
    memory: PolicyMemory = {}
    for signals in past:
        targets, memory = policy.step(dict.fromkeys(ADDRESSES[:count], signals), memory)
        assert len(set(targets.weights.values())) == 1


@pytest.mark.parametrize(
    ("policy", "worse"),
    [
        pytest.param(kind(), worse, id=f"{name}-{worse}")
        for name, kind in REGISTRY.items()
        for worse in (Signal.WAITING, Signal.KV_USAGE)
        # How full a cache is says how many sequences fit, which servers of a kind share: a fuller
        # one can be worth more than one of which nothing was known.
        if (name, worse) != ("capacity", Signal.KV_USAGE)
    ],
)
@modestly
@given(history=st.lists(POOL, max_size=2), now=POOL, more=st.data())
def test_more_trouble_never_raises_a_share(
    policy: Policy, worse: Signal, history: list[Signals], now: Signals, more: st.DataObject
) -> None:
    """Of two ticks that differ in one backend's queue or cache, the fuller one gives it less."""
    memory = after(policy, history)
    victim = more.draw(st.sampled_from(sorted(now)))
    value = now[victim][worse]
    most = 1.0 if worse == Signal.KV_USAGE else 20_000.0
    fuller = {**now, victim: {**now[victim], worse: more.draw(st.floats(value, most))}}
    before, _ = policy.step(now, memory)
    then, _ = policy.step(fuller, memory)
    assert then.shares[victim] <= before.shares[victim] + 1e-12


@every_policy
@pytest.mark.parametrize("worse", [Signal.WAITING, Signal.KV_USAGE])
@modestly
@given(emptier=BACKEND, times=st.floats(1, 100), ticks=st.integers(1, 5))
@example(emptier=LOADED, times=3.0, ticks=5)
def test_of_two_backends_the_fuller_gets_no_more(
    policy: Policy, worse: Signal, emptier: Mapping[str, float], times: float, ticks: int
) -> None:
    """Two that only differ in their queues or caches, and go on so, are weighed by these."""
    most = 1.0 if worse == Signal.KV_USAGE else math.inf
    fuller = {**emptier, worse: min(most, emptier[worse] * times)}
    pool = {"A": emptier, "B": fuller}
    memory: PolicyMemory = {}
    for _ in range(ticks):
        targets, memory = policy.step(pool, memory)
        assert targets.shares["B"] <= targets.shares["A"] + 1e-12


@every_policy
@modestly
@given(history=HISTORY)
def test_a_memory_is_json_with_numbers(policy: Policy, history: list[Signals]) -> None:
    """What is remembered is finite floats by backend and name, and equal after JSON."""
    memory = after(policy, history)
    for numbers in memory.values():
        assert all(type(number) is float and math.isfinite(number) for number in numbers.values())
    assert json.loads(json.dumps(memory, allow_nan=False)) == memory


@every_policy
@modestly
@given(history=HISTORY, now=BACKEND)
def test_the_memory_of_the_absent_is_kept(
    policy: Policy, history: list[Signals], now: Mapping[str, float]
) -> None:
    """A tick without a backend leaves what is remembered of it as it was."""
    memory = after(policy, history)
    _, later = policy.step({"10.0.0.99:8000": now}, memory)
    assert {name: later[name] for name in memory} == memory


@every_policy
@modestly
@given(history=HISTORY)
def test_a_step_leaves_its_arguments_alone(policy: Policy, history: list[Signals]) -> None:
    """A policy has no state: the same step again gives the same, from unchanged arguments."""
    *past, now = history
    memory = after(policy, past)
    signals_before, memory_before = json.dumps(now), json.dumps(memory)
    first = policy.step(now, memory)
    assert (json.dumps(now), json.dumps(memory)) == (signals_before, memory_before)
    assert policy.step(now, memory) == first


@every_policy
@modestly
@given(history=st.lists(POOL, max_size=3), asked=st.sets(st.sampled_from(ADDRESSES), min_size=1))
def test_neutral_weights_are_there_for_whoever_is_asked(
    policy: Policy, history: list[Signals], asked: set[str]
) -> None:
    """Every backend that is asked for has a positive weight, known or not."""
    neutral = policy.neutral(sorted(asked), after(policy, history))
    assert neutral.keys() == asked
    assert all(0 < weight <= WEIGHT_MAX for weight in neutral.values())


@every_policy
def test_a_policy_needs_known_signals(policy: Policy) -> None:
    """What a policy needs are signals that an engine profile can provide."""
    assert policy.needs <= set(Signal)


@every_policy
@modestly
@given(history=HISTORY)
def test_a_policy_reads_no_more_than_it_needs(policy: Policy, history: list[Signals]) -> None:
    """Signals that a policy does not name as needed may be missing."""
    memory: PolicyMemory = {}
    for signals in history:
        needed = {
            address: {name: value for name, value in each.items() if name in policy.needs}
            for address, each in signals.items()
        }
        targets, memory = policy.step(needed, memory)
        assert targets.weights.keys() == signals.keys()


def test_the_contract_is_tested_with_every_signal() -> None:
    """A signal that is added is one that policies are tried with."""
    assert set(Signal) == RANGES.keys()


@pytest.mark.parametrize("name", REGISTRY)
def test_the_registry_knows_a_policy_by_its_own_name(name: str) -> None:
    """The name in the configuration is the one that the policy says."""
    assert REGISTRY[name].name == name
