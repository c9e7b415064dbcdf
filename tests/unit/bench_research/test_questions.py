"""What the questions work out by themselves, and a question that is played to its page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.research.__main__ import QUESTIONS, main
from bench.research.estimates import compared, mean_of
from bench.research.first_minute import FirstGlance
from bench.research.low_load import Curve, EqualMarginal, slots, spread
from bench.research.no_reload import lasting
from bench.research.page import found_of, page_of
from bench.research.question import Question, play
from bench.research.size_classes import split_weights, whole
from bench.suite import CONTENDERS, controlled
from controller.core.model import Signal
from controller.policy.capacity import Capacity
from tests.unit.bench.small import small_cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.core.policy import Policy, PolicyMemory


def test_a_time_is_compared_as_a_factor_and_a_share_as_a_difference() -> None:
    """Twice as long in one cell and as long in the other is a factor of the root of two."""
    ours, theirs = np.array([[0.2, 0.2], [0.1, 0.1]]), np.full((2, 2), 0.1)
    time = compared(np.log(ours), np.log(theirs), "ttft_p99_s")
    assert (time.low, time.mean, time.high) == pytest.approx((1.0, math.sqrt(2), 2.0))
    share = compared(ours, theirs, "goodput")
    assert (share.low, share.mean, share.high) == pytest.approx((0.0, 0.05, 0.1))
    assert mean_of(np.log(ours), "ttft_p99_s") == pytest.approx(math.sqrt(0.02))


def test_weights_are_whole_and_only_nothing_is_nothing() -> None:
    """The largest is 100, the smallest that is asked for at all is 1."""
    assert whole([50.0, 25.0, 0.001, 0.0]) == (100, 50, 1, 0)


def test_split_weights_leave_all_servers_equally_busy() -> None:
    """Where the fast one takes all long prompts, the slow one takes more of the short ones."""
    short, long = split_weights([4.0, 4.0], [1.0, 1.0], 0.1, takers=[0])
    # Long prompts take the first one a tenth of a second in each; the short ones 0.9 / 4 in all.
    assert long == (100, 0)
    busy = (0.1 + 0.9 / 4) / 2
    assert short == (round(100 * (busy - 0.1) / busy), 100)


def test_more_long_prompts_than_the_fast_ones_carry_leave_them_no_others() -> None:
    """Their weight for short prompts is 0, not less."""
    short, _ = split_weights([4.0, 4.0], [1.0, 1.0], 0.9, takers=[0])
    assert short == (0, 100)


def test_requests_are_spread_so_that_one_more_adds_the_same_everywhere() -> None:
    """The slopes of n / T(n) are equal where neither the least nor the slots decide."""
    curves = [Curve(0.01, 60.0, 256.0), Curve(0.02, 60.0, 256.0), Curve(0.5, 60.0, 256.0)]
    found = spread(curves, 61.0)
    assert sum(found) == pytest.approx(61.0)
    slopes = [
        1 / (curve.step_s * (1 + n / curve.doubles) ** 2)
        for curve, n in zip(curves, found, strict=True)
    ]
    assert slopes[0] == pytest.approx(slopes[1])
    assert found[2] == 1.0


def test_a_full_pool_has_all_slots_taken() -> None:
    """More requests than slots change nothing."""
    assert spread([Curve(0.01, 60.0, 20.0), Curve(0.1, 60.0, 10.0)], 99.0) == [20.0, 10.0]


def _seen(itl_s: float) -> dict[str, float]:
    """A tick of a server with eight sequences in the batch."""
    return {
        Signal.RUNNING: 8.0,
        Signal.WAITING: 0.0,
        Signal.ITL_SECONDS_RATE: 8.0,
        Signal.ITL_COUNT_RATE: 8.0 / itl_s,
        Signal.ENGINE_STEP_RATE: 1 / itl_s,
        Signal.PREFILL_RATE: 0.0,
        Signal.KV_USAGE: 0.1,
    }


def _weights(policy: Policy, ticks: int) -> Mapping[str, float]:
    """What a policy wants of a fast and a slow server after so many ticks."""
    memory: PolicyMemory = {}
    for _ in range(ticks):
        targets, memory = policy.step({"fast": _seen(0.01), "slow": _seen(0.06)}, memory)
    return targets.weights


def test_a_first_glance_is_enough_for_weights() -> None:
    """After one tick the shipped policy knows no difference yet; after two both know the same."""
    assert _weights(Capacity(), 1) == {"fast": 100.0, "slow": 100.0}
    assert _weights(FirstGlance(), 1)["slow"] < 50.0
    assert _weights(FirstGlance(), 2) == _weights(Capacity(), 2)


def test_a_server_holds_what_its_cache_or_its_limit_allows() -> None:
    """Of short requests all the sequences that it may run, of long ones what fits into the KV."""
    assert slots("lab", "uniform_128")[0] == 16
    fast, *_, slow = slots("b", "mooncake")
    assert fast > 10 * slow


def test_at_low_load_equal_slopes_prefer_the_fast_server() -> None:
    """With sixteen requests the slow one gets less than its share of what they carry."""
    assert _weights(EqualMarginal(), 3)["slow"] < 0.5 * _weights(Capacity(), 3)["slow"]


def test_a_question_is_played_to_its_page() -> None:
    """The same runs on one process and on two; a line for each contender, and its comparison."""
    question = Question(
        name="small",
        asked="Is it so?",
        groups={"lab": [small_cell()]},
        contenders=lambda _cell, _seed: [
            CONTENDERS["least_conn"],
            lasting(controlled("kept", Capacity())),
        ],
        reference="least_conn",
        figures=("goodput", "ttft_p99_s", "reloads"),
        spans={"early": (0.0, 60.0), "late": (60.0, 120.0)},
    )
    played = play(question, processes=1)
    assert played == play(question, processes=2)
    assert len(played) == 2 * 2 * 2
    found = found_of(question, played)
    kept = found["groups"]["lab"]["late"]["kept"]["ttft_p99_s"]
    assert kept[2] <= kept[1] <= kept[3]
    head = {"command": "python", "commit": "0", "machine": "here"}
    page = page_of(head, {"small": found})
    assert "### small: lab, early\n\nsmall@0.5; 2 runs each; compared with least_conn." in page
    assert page.count("| kept |") == 2


def test_an_unknown_question_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names that would have been right."""
    with pytest.raises(SystemExit):
        main(["pond"])
    assert f"pond: expected some of {', '.join(QUESTIONS)}" in capsys.readouterr().err
