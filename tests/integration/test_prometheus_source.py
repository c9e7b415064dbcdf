"""A real Prometheus full of real captures is read as the captures say."""

from collections.abc import Mapping

import pytest

from controller.adapters.prometheus import PROFILES, PoolQuery
from controller.core.model import SampleFault, Signal
from lab.processes import NotReadyError, await_true
from lab.prometheus import RunningPrometheus
from tests.integration.prometheus_observing import (
    CAPTURED,
    SGLANG,
    VLLM,
    observe_one,
    pool,
)
from tests.integration.prometheus_pages import STALE_S
from tests.integration.prometheus_targets import (
    about,
    of_name,
)

pytestmark = pytest.mark.integration


def await_rates(
    server: RunningPrometheus, query: PoolQuery, backend: str, expected: Mapping[Signal, float]
) -> Mapping[str, float]:
    """The signals of a backend once these rates are what they should be.

    A window has few scrapes here, so one that is late bends its rates; a rate that is wrong stays.
    """
    found: dict[str, float] = {}

    def are_right() -> bool:
        found.clear()
        found.update(observe_one(server, query).observations[backend].signals)
        return all(
            low <= found.get(name, -1.0) <= high
            for name, (low, high) in ((name, about(rate)) for name, rate in expected.items())
        )

    try:
        await_true(are_right, 30, f"rates of {backend}", poll_s=0.5)
    except NotReadyError as error:
        seen = {name: found.get(name) for name in expected}
        raise AssertionError(f"{seen}, expected about {expected}") from error
    return found


def test_captures_are_read_as_they_say(server: RunningPrometheus) -> None:
    """Counts are summed, KV is the fullest and awake the least, over the engines of a capture."""
    seen = observe_one(server, pool("captures"))
    assert sorted(seen.observations) == [f"{stem}:8000" for stem in CAPTURED]
    for stem in CAPTURED:
        found = seen.observations[f"{stem}:8000"]
        assert found.faults == {}, stem
        assert found.up is True
        assert found.age_s is not None
        assert 0 <= found.age_s < 10
        assert found.signals[Signal.RUNNING] == sum(of_name(stem, "vllm:num_requests_running"))
        assert found.signals[Signal.WAITING] == sum(of_name(stem, "vllm:num_requests_waiting"))
        assert found.signals[Signal.KV_USAGE] == max(of_name(stem, "vllm:kv_cache_usage_perc"))
        assert found.signals[Signal.PREEMPTIONS_TOTAL] == sum(
            of_name(stem, "vllm:num_preemptions_total")
        )
        assert found.signals[Signal.AWAKE] == min(
            of_name(stem, "vllm:engine_sleep_state", sleep_state="awake")
        )


def test_every_capture_has_every_signal(server: RunningPrometheus) -> None:
    """A counter that stands still is a rate of zero, also where no request ever failed."""
    seen = observe_one(server, pool("captures"))
    rates = {name for name, recipe in PROFILES["vllm"].recipes.items() if recipe.rate}
    for found in seen.observations.values():
        assert set(found.signals) == set(VLLM)
        assert {found.signals[name] for name in rates} == {0.0}


def test_data_parallel_engines_add_up(server: RunningPrometheus) -> None:
    """Two engines of one backend with six requests each run twelve."""
    found = observe_one(server, pool("captures")).observations["13-dp2:8000"]
    assert found.signals[Signal.RUNNING] == 12


def test_vllm_rates(server: RunningPrometheus) -> None:
    """Rates add up the engines; aborted requests are not finished, 4xx and /health not failed."""
    expected = {
        Signal.PROMPT_RATE: 100,
        Signal.PREFILL_RATE: 100,
        Signal.GENERATION_RATE: 200,
        Signal.PREEMPTION_RATE: 1,
        Signal.ITL_SECONDS_RATE: 4,
        Signal.ITL_COUNT_RATE: 160,
        Signal.ENGINE_STEP_RATE: 40,
        Signal.FINISHED_RATE: 5,
        Signal.FAILED_RATE: 5,
    }
    await_rates(server, pool("growing"), "growing:8000", expected)


def test_old_latency_name(server: RunningPrometheus) -> None:
    """The inter-token latency is found under its old name, and nothing else is invented."""
    expected = {Signal.ITL_SECONDS_RATE: 2, Signal.ITL_COUNT_RATE: 80}
    found = await_rates(server, pool("growing"), "old-growing:8000", expected)
    assert found.keys() == expected.keys()


def test_old_kv_name_gives_way_to_the_new(server: RunningPrometheus) -> None:
    """The KV usage is found under its old name, and under the new one where both exist."""
    seen = observe_one(server, pool("old"))
    assert seen.observations["old:8000"].signals[Signal.KV_USAGE] == 0.4
    assert seen.observations["both:8000"].signals[Signal.KV_USAGE] == 0.6


def test_missing_series_is_missing(server: RunningPrometheus) -> None:
    """A signal without a series is neither a value nor a fault, nor zero."""
    found = observe_one(server, pool("old")).observations["old:8000"]
    assert found.faults == {}
    for name in (Signal.FAILED_RATE, Signal.FINISHED_RATE, Signal.AWAKE):
        assert name not in found.signals


def test_one_sleeping_engine_is_not_awake(server: RunningPrometheus) -> None:
    """A backend is awake only when all its engines are."""
    found = observe_one(server, pool("broken")).observations["half-asleep:8000"]
    assert found.signals[Signal.AWAKE] == 0


def test_model_name_narrows_the_engines(server: RunningPrometheus) -> None:
    """With a model name, what other models of the same instance run does not count."""
    both = observe_one(server, pool("broken")).observations["half-asleep:8000"]
    tiny = observe_one(server, pool("broken", model_name="tiny")).observations["half-asleep:8000"]
    assert both.signals[Signal.RUNNING] == 42
    assert tiny.signals[Signal.RUNNING] == 2
    failed = observe_one(server, pool("captures", model_name="tiny"))
    assert all(Signal.FAILED_RATE in each.signals for each in failed.observations.values())


def test_sglang_ranks_and_priorities(server: RunningPrometheus) -> None:
    """Data-parallel ranks add up; tensor-parallel copies and single priorities do not."""
    asked = pool("sglang", profile="sglang", signals=SGLANG)
    found = observe_one(server, asked).observations["sglang:8000"].signals
    assert found[Signal.RUNNING] == 12
    assert found[Signal.WAITING] == 1
    assert found[Signal.KV_USAGE] == 0.4
    expected = {
        Signal.PREEMPTION_RATE: 2,
        Signal.GENERATION_RATE: 200,
        Signal.PROMPT_RATE: 80,
        Signal.PREFILL_RATE: 60,
        Signal.ITL_SECONDS_RATE: 4,
        Signal.ITL_COUNT_RATE: 160,
        Signal.FINISHED_RATE: 4,
        Signal.FAILED_RATE: 3,
    }
    await_rates(server, asked, "sglang:8000", expected)


def test_old_sglang(server: RunningPrometheus) -> None:
    """Without the newer token counter the older one counts; without a failure, none failed."""
    seen = observe_one(server, pool("sglang", profile="sglang", signals=SGLANG))
    found = seen.observations["old-sglang:8000"].signals
    assert found == {Signal.RUNNING: 1, Signal.GENERATION_RATE: 0, Signal.FAILED_RATE: 0}


def test_not_finite_is_a_fault(server: RunningPrometheus) -> None:
    """NaN and infinity are faults of their signals and leave the others alone."""
    found = observe_one(server, pool("broken")).observations["not-finite:8000"]
    assert found.signals == {Signal.RUNNING: 3}
    assert found.faults == {
        Signal.WAITING: SampleFault.NAN,
        Signal.KV_USAGE: SampleFault.INFINITE,
    }


def test_stale_is_a_fault_of_the_signal_that_is(server: RunningPrometheus) -> None:
    """A sample older than allowed is not used, and the backend's age is that of its oldest."""
    found = observe_one(server, pool("broken")).observations["stale:8000"]
    assert found.faults == {Signal.RUNNING: SampleFault.STALE}
    assert found.signals == {Signal.WAITING: 1}
    assert found.age_s == pytest.approx(STALE_S, abs=10)
    patient = observe_one(server, pool("broken", max_age_s=STALE_S + 60))
    assert patient.observations["stale:8000"].signals[Signal.RUNNING] == 9


def test_users_signal_is_stale_with_all_that_can_be_dated(server: RunningPrometheus) -> None:
    """PromQL has no age, so the user's signal shares the fate of the backend's dated ones."""
    own = {"mine": 'vllm:num_requests_running{job="broken"} * 2'}
    for signals, expected in (((Signal.RUNNING,), {}), ((Signal.WAITING,), {"mine": 18.0})):
        seen = observe_one(server, pool("broken", signals=signals, extra=own))
        found = seen.observations["stale:8000"]
        assert {name: v for name, v in found.signals.items() if name == "mine"} == expected


def test_failed_scrape_leaves_only_up(server: RunningPrometheus) -> None:
    """A target whose scrape fails is known to be down, and nothing else is known of it."""
    (found,) = observe_one(server, pool("down")).observations.values()
    assert found.up is False
    assert (found.signals, found.faults, found.age_s) == ({}, {}, None)


def test_lost_colon_is_named(server: RunningPrometheus) -> None:
    """Metrics of the engines' library without the relabelling rule are noticed and named."""
    assert observe_one(server, pool("colonless")).foreign_names == ("vllm_num_requests_running",)
    assert observe_one(server, pool("captures")).foreign_names == ()
