"""Figures of runs made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.suite.figures import FIGURES, figures_of
from simulator.fleet.layout import DONE, FAILED, PENDING, SHED
from simulator.fleet.results import Change, RunResult


def result(
    status: list[int], ttft_s: list[float], *, end_s: float = 220.0, gap_s: float = 0.05
) -> RunResult:
    """A run of 100 s with one request per second of ten output tokens."""
    count = len(status)
    arrival_s = np.arange(count, dtype=float)
    known, first_s = np.array(status), arrival_s + np.array(ttft_s)
    return RunResult(
        arrival_s=arrival_s,
        prompt_tokens=np.full(count, 10),
        output_tokens=np.full(count, 10),
        server=np.zeros(count, int),
        dispatched_s=arrival_s,
        first_token_s=np.where(known == DONE, first_s, np.nan),
        finished_s=np.where(known == DONE, first_s + 9 * gap_s, np.nan),
        status=known,
        retries=np.zeros(count, int),
        preemptions=(known == DONE).astype(int),
        spilled=np.zeros(count, bool),
        had_room=(known == SHED) & (arrival_s % 2 == 0),
        warmup_s=10.0,
        duration_s=100.0,
        end_s=end_s,
        changes=tuple(Change(at_s, 0, (), "weights") for at_s in (5.0, 40.0, 90.0, 130.0)),
    )


def test_shares_are_of_all_requests_after_the_warm_up() -> None:
    """Of ninety: twenty shed, half of them falsely, thirty failed, the rest good but ten."""
    status = [DONE] * 10 + [SHED] * 20 + [FAILED] * 30 + [DONE] * 40
    found = figures_of(result(status, [0.5] * 90 + [2.5] * 10))
    assert found["shed"] == pytest.approx(20 / 90)
    assert found["shed_with_room"] == pytest.approx(10 / 90)
    assert found["failed"] == pytest.approx(30 / 90)
    assert found["goodput"] == pytest.approx(30 / 90)
    assert found["preemptions"] == pytest.approx(1000 * 40 / 90)
    assert found["ttft_p50_s"] == 0.5
    assert found["ttft_p99_s"] == pytest.approx(2.5)
    assert found["slo_back_s"] is None


def test_reloads_are_those_after_the_warm_up_per_quarter_of_an_hour() -> None:
    """Two in ninety seconds are twenty in fifteen minutes; earlier and later ones do not count."""
    assert figures_of(result([DONE] * 100, [0.5] * 100))["reloads"] == pytest.approx(20.0)


def test_what_waits_at_the_end_counts_with_what_has_passed() -> None:
    """A request of second 50 that never had a token by second 220 has waited 170 s."""
    status = [DONE] * 50 + [PENDING] * 50
    found = figures_of(result(status, [0.5] * 100))
    assert found["ttft_p99_s"] == pytest.approx(np.percentile([0.5] * 40 + [*range(121, 171)], 99))
    assert found["e2e_p99_s"] == found["ttft_p99_s"]
    assert found["unfinished"] == pytest.approx(50 / 90)


def test_a_run_without_any_token_has_no_times() -> None:
    """They are None, never NaN, and the goodput is 0."""
    found = figures_of(result([FAILED] * 100, [0.5] * 100), recovery_from_s=80.0)
    times = {name for name, kind in FIGURES.items() if kind.unit == "s"} - {"slo_back_s"}
    assert {name for name, value in found.items() if value is None} == times
    assert found["goodput"] == 0.0


@pytest.mark.parametrize(("late", "back_s", "never"), [(8, 23.0, 0.0), (25, 25.0, 1.0)])
def test_a_goodput_that_is_never_back_counts_with_the_time_left(
    late: int, back_s: float, never: float
) -> None:
    """The window of 15 s has to pass the last late request, and the end of the run is the most."""
    ttft_s = [0.5] * 75 + [5.0] * late + [0.5] * (25 - late)
    found = figures_of(result([DONE] * 100, ttft_s), recovery_from_s=75.0)
    assert found["slo_back_s"] == pytest.approx(back_s, abs=1.0)
    assert found["slo_never"] == never
