"""The ladder is the public recipe, exactly."""

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from controller.core.model import Signal
from controller.core.policy import PolicyMemory
from controller.policy.ladder import Ladder

A, B = "10.0.0.1:8000", "10.0.0.2:8000"


def signals(
    kv_usage: float = 0.0, waiting: float = 0, running: float = 0, preemptions: float = 0
) -> dict[str, float]:
    """What the ladder reads of one backend."""
    return {
        Signal.KV_USAGE: kv_usage,
        Signal.WAITING: waiting,
        Signal.RUNNING: running,
        Signal.PREEMPTIONS_TOTAL: preemptions,
    }


def remembered(preemptions: float | None) -> PolicyMemory:
    """The memory of a ladder that saw this counter one tick ago, or nothing yet."""
    return {} if preemptions is None else {A: {"preemptions_total": preemptions}}


def weight(now: dict[str, float], before: float | None = None) -> float:
    """The weight of a backend whose preemption counter stood at `before` one tick ago."""
    targets, _ = Ladder().step({A: now}, remembered(before))
    return targets.weights[A]


def recipe(*, kv_usage: float, waiting: float, preempted: float, running: float) -> int:
    """The public recipe in its own words: thresholds, then one step down per sign of trouble."""
    if kv_usage >= 0.92:
        rung = 10
    elif kv_usage >= 0.85:
        rung = 30
    elif kv_usage >= 0.75:
        rung = 60
    else:
        rung = 100
    for trouble in (waiting > 0, preempted > 0, running > 8):
        if trouble:
            rung = {100: 60, 60: 30, 30: 10, 10: 10}[rung]
    return rung


@pytest.mark.parametrize(
    ("kv_usage", "expected"),
    [
        (1.0, 10),
        (0.92, 10),
        (0.9199999, 30),
        (0.85, 30),
        (0.8499999, 60),
        (0.75, 60),
        (0.7499999, 100),
        (0.0, 100),
    ],
)
def test_the_rungs_by_kv_usage(kv_usage: float, expected: float) -> None:
    """A threshold that is reached, not only passed, decides the rung."""
    assert weight(signals(kv_usage)) == expected


DOWN_ONCE = [(0.0, 60), (0.75, 30), (0.85, 10), (0.92, 10)]


@pytest.mark.parametrize(("kv_usage", "expected"), DOWN_ONCE)
@pytest.mark.parametrize(
    ("waiting", "running", "preempted"), [(1, 0, 0), (0, 9, 0), (0, 0, 1), (0.5, 0, 0), (0, 8.5, 0)]
)
def test_each_sign_of_trouble_is_one_step_down(
    kv_usage: float, expected: float, waiting: float, running: float, preempted: float
) -> None:
    """Waiting requests, more than 8 running, or new preemptions cost one rung, never below 10."""
    assert weight(signals(kv_usage, waiting, running, 40 + preempted), before=40) == expected


@pytest.mark.parametrize("kv_usage", [0.0, 0.75, 0.85, 0.92])
@pytest.mark.parametrize(
    ("waiting", "running", "preempted"), list(itertools.product([0, 3], [8, 9], [0, 7]))
)
def test_signs_of_trouble_add_up(
    kv_usage: float, waiting: float, running: float, preempted: float
) -> None:
    """Each combination of signs steps down as often as the recipe does."""
    expected = recipe(kv_usage=kv_usage, waiting=waiting, preempted=preempted, running=running)
    assert weight(signals(kv_usage, waiting, running, 40 + preempted), before=40) == expected


def test_eight_running_requests_are_no_trouble() -> None:
    """The step comes above 8 running requests, not at 8."""
    assert (weight(signals(running=8)), weight(signals(running=9))) == (100, 60)


def test_the_first_tick_knows_no_growth() -> None:
    """Preemptions from before the first tick are no trouble."""
    assert weight(signals(preemptions=1000)) == 100


def test_a_counter_that_stands_still_is_no_trouble() -> None:
    """Only preemptions since the last tick count."""
    assert weight(signals(preemptions=1000), before=1000) == 100


def test_a_counter_that_was_reset_is_no_trouble() -> None:
    """A counter that fell belongs to an engine that was restarted."""
    assert weight(signals(preemptions=3), before=1000) == 100


def test_growth_is_seen_from_tick_to_tick() -> None:
    """Each tick compares with the one before, per backend, also across ticks it was absent in."""
    ladder, seen, memory = Ladder(), [], remembered(None)
    for a, b in [(5, 0), (5, 1), (6, None), (6, 1), (6, 2)]:
        now = {A: signals(preemptions=a)}
        if b is not None:
            now[B] = signals(preemptions=b)
        targets, memory = ladder.step(now, memory)
        seen.append((targets.weights[A], targets.weights.get(B)))
    assert seen == [(100, 100), (100, 60), (60, None), (100, 100), (100, 60)]


def test_the_weight_is_explained() -> None:
    """The sentence names the KV usage and each sign of trouble."""
    memory = {A: {"preemptions_total": 1.0}}
    targets, _ = Ladder().step({A: signals(0.8, 4, 9, 3)}, memory)
    assert targets.details[A] == (
        "KV 0.80: 60, one step down for 4 waiting, one step down for 2 preempted since the last"
        " tick, one step down for 9 running"
    )


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.floats(0, 1) | st.sampled_from([0.75, 0.85, 0.92]),
    st.integers(0, 5),
    st.integers(0, 20),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_the_ladder_is_the_recipe(
    kv_usage: float, waiting: int, running: int, before: int, now: int
) -> None:
    """For any input the weight is that of the recipe."""
    expected = recipe(kv_usage=kv_usage, waiting=waiting, preempted=now - before, running=running)
    assert weight(signals(kv_usage, waiting, running, now), before=before) == expected


def test_other_rungs_can_be_configured() -> None:
    """Thresholds, weights and the busy limit are parameters."""
    ladder = Ladder(thresholds=(0.5,), weights=(1, 80), busy_running=0)
    weights = [
        ladder.step({A: now}, {})[0].weights[A]
        for now in (signals(0.5), signals(0.4), signals(0.4, running=1))
    ]
    assert weights == [1, 80, 1]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        (
            {"weights": (10, 30, 60)},
            "expected one weight more than thresholds, got 3 weights and 3",
        ),
        ({"thresholds": (0.75, 0.85, 0.92)}, "thresholds: expected falling values"),
        ({"thresholds": (0.9, 0.9, 0.7)}, "thresholds: expected falling values"),
        ({"thresholds": (1.1, 0.85, 0.75)}, "thresholds: expected falling values"),
        ({"thresholds": (0.9, 0.8, 0.0)}, "thresholds: expected falling values"),
        ({"thresholds": (float("nan"), 0.8, 0.7)}, "thresholds: expected falling values"),
        ({"weights": (100, 60, 30, 10)}, "weights: expected rising values in 1..100"),
        ({"weights": (0, 30, 60, 100)}, "weights: expected rising values in 1..100"),
        ({"weights": (10, 30, 60, 101)}, "weights: expected rising values in 1..100"),
        ({"weights": (10, 10, 60, 100)}, "weights: expected rising values in 1..100"),
        ({"busy_running": -1}, "busy_running: expected a number of at least 0"),
        ({"busy_running": float("nan")}, "busy_running: expected a number of at least 0"),
        ({"busy_running": float("inf")}, "busy_running: expected a number of at least 0"),
    ],
)
def test_parameters_that_make_no_ladder_are_refused(
    parameters: dict[str, object], complaint: str
) -> None:
    """Rungs out of order or out of range are refused with what was expected."""
    with pytest.raises(ValueError, match=complaint):
        Ladder(**parameters)  # type: ignore[arg-type]  # one of them, by name


def test_all_faults_are_told_at_once() -> None:
    """A person mends a ladder in one go."""
    with pytest.raises(ValueError, match="weights and") as refusal:
        Ladder(thresholds=(0.5, 2.0), weights=(0,), busy_running=-1)
    assert len(str(refusal.value).split("; ")) == 4


def test_a_ladder_may_have_one_rung() -> None:
    """Without thresholds, all have the one weight, less nothing."""
    assert Ladder(thresholds=(), weights=(70,)).step({A: signals(1.0, 9)}, {})[0].weights[A] == 70
