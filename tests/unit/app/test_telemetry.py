"""The controller's own metrics."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from controller.app.last_tick import PoolInfo
from controller.app.loop import TickRecord
from controller.app.telemetry import Telemetry
from controller.core.errors import ActuationError, ActuationFault, SourceError, SourceFault
from controller.core.model import Observation, PoolSnapshot, Snapshot
from controller.core.policy import Carries, PolicyMemory, Targets
from controller.core.settings import Limits, PoolSpec
from controller.policy.equal import Equal
from controller.policy.ladder import Ladder

from .ticks import START_S, A, B, C, Controller, seen, shot

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
UNCONFIRMED = ActuationError(ActuationFault.UNCONFIRMED, "not served")


def record(telemetry: Telemetry, tick: TickRecord) -> None:
    """Count a tick that asked Prometheus twice."""
    telemetry.record(tick, query_s=0.02, requests=2)


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    """A sample; None when there is none."""
    return telemetry.registry.get_sample_value(f"vllm_nginx_lb_{name}", labels)


def fresh() -> Telemetry:
    """Telemetry of a controller that was just started."""
    return Telemetry("1.2.3", 10.0, [PoolInfo("llm", "vllm", "ladder")])


def lived() -> Telemetry:
    """Telemetry of a controller that saw a bit of everything."""
    telemetry, controller = fresh(), Controller()
    everybody = {A: seen(), B: seen(), C: seen()}
    record(telemetry, controller.tick(shot(0, everybody), UNCONFIRMED))
    record(telemetry, controller.tick(shot(10, everybody)))
    error = SourceError(SourceFault.TIMED_OUT, "no answer within 5 s")
    record(telemetry, controller.tick(Snapshot(START_S + 20, error=error)))
    record(telemetry, controller.tick(shot(30, everybody | {B: seen(awake=0.0)})))
    return telemetry


@pytest.mark.integration
@pytest.mark.parametrize("telemetry", [fresh(), lived()], ids=["fresh", "lived"])
def test_promtool_has_no_complaint(telemetry: Telemetry) -> None:
    """Names, types and help of all metrics are as Prometheus wants them."""
    lint = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(telemetry.registry),
        capture_output=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout.decode(), lint.stderr.decode()) == (0, "", "")


def test_ticks_are_counted_by_result_and_reason() -> None:
    """Each tick counts once, under how it ended and why."""
    telemetry = lived()
    counts = {
        ("failed", "first"): 1,
        ("confirmed", "first"): 1,
        ("held", "blind_source"): 1,
        ("confirmed", "ejection"): 1,
        ("held", "unchanged"): None,
    }
    assert counts == {
        (result, reason): value(telemetry, "ticks_total", result=result, reason=reason)
        for result, reason in counts
    }


def test_pushes_are_counted_by_what_became_of_them() -> None:
    """Confirmed and failed reloads are apart, and every result is there from the start."""
    telemetry = lived()
    counts = {"confirmed": 2, "unconfirmed": 1, "rejected": 0, "unreachable": 0, "unsafe": 0}
    assert counts == {result: value(telemetry, "reloads_total", result=result) for result in counts}
    assert value(telemetry, "apply_duration_seconds_count") == 3


def test_faults_of_prometheus_are_counted() -> None:
    """Each fault of the source is there from the start, and counts its ticks."""
    telemetry = lived()
    counts = {fault: float(fault == SourceFault.TIMED_OUT) for fault in SourceFault}
    assert counts == {
        fault: value(telemetry, "source_errors_total", fault=fault) for fault in counts
    }


def test_requests_and_times_add_up() -> None:
    """The cost of ticks is counted."""
    telemetry = lived()
    assert value(telemetry, "prometheus_requests_total") == 8
    assert value(telemetry, "tick_duration_seconds_count") == 4
    assert value(telemetry, "query_duration_seconds_sum") == pytest.approx(0.08)


def test_before_the_first_tick_only_the_version_is_told() -> None:
    """Nothing is made up about a tick that has not been."""
    telemetry = fresh()
    assert value(telemetry, "build_info", version="1.2.3") == 1
    assert value(telemetry, "in_sync") is None
    assert value(telemetry, "last_tick_timestamp_seconds") is None


def test_the_last_tick_is_described() -> None:
    """Weights wanted and confirmed, reasons, ages, blindness and workers are those of the tick."""
    telemetry, controller = fresh(), Controller()
    record(telemetry, controller.tick(shot(0, {A: seen(), B: seen(0.8), C: seen(awake=0.0)})))
    pool = {"pool": "llm"}
    wanted = {A: 100, B: 60, C: 0}
    for name in ("backend_weight_desired", "backend_weight_applied"):
        assert wanted == {each: value(telemetry, name, **pool, backend=each) for each in wanted}
    assert value(telemetry, "backend_sample_age_seconds", **pool, backend=A) == 3.21
    assert value(telemetry, "backend_reason_info", **pool, backend=C, reason="ejected_asleep") == 1
    assert value(telemetry, "backends", **pool, reason="policy") == 2
    assert value(telemetry, "pool_blind", **pool, reason="none") == 0
    assert value(telemetry, "nginx_lingering_workers") == 2
    assert value(telemetry, "nginx_live_workers") == 4
    assert value(telemetry, "last_tick_timestamp_seconds") == START_S + 0.05
    assert value(telemetry, "last_confirmed_timestamp_seconds") == START_S


def test_blindness_has_its_reason() -> None:
    """A blind pool says why, and the one that sees again says so."""
    telemetry, controller = fresh(), Controller()
    record(telemetry, controller.tick(shot(0, {A: seen()})))
    record(telemetry, controller.tick(shot(10, {})))
    assert value(telemetry, "pool_blind", pool="llm", reason="blind_empty") == 1
    assert value(telemetry, "pool_blind", pool="llm", reason="none") is None
    record(telemetry, controller.tick(shot(20, {A: seen()})))
    assert value(telemetry, "pool_blind", pool="llm", reason="blind_empty") is None


def test_nginx_in_sync() -> None:
    """The sync is told from what Nginx serves after the tick, and lost when it cannot be asked."""
    telemetry, controller = fresh(), Controller()
    record(telemetry, controller.tick(shot(0, {A: seen()}), UNCONFIRMED))
    assert value(telemetry, "in_sync") == 0
    record(telemetry, controller.tick(shot(10, {A: seen()})))
    assert value(telemetry, "in_sync") == 1
    generation = controller.served or ""
    for kind in ("desired", "applied", "served"):
        assert value(telemetry, "generation_info", kind=kind, generation=generation) == 1
    controller.served = None
    record(telemetry, controller.tick(shot(20, {A: seen()})))
    assert value(telemetry, "in_sync") == 0
    assert value(telemetry, "generation_info", kind="served", generation=generation) is None


def test_a_backend_is_told_by_all_its_names() -> None:
    """Its instance in Prometheus and its address in the file stand beside it, also when blind."""
    telemetry, controller = fresh(), Controller()
    name = "gpu-2:8000"
    controller.endpoints = {name: B}
    observations = {
        A: replace(seen(), instance="gpu-1:9100"),
        name: replace(seen(), instance="gpu-2:9100"),
    }
    for snapshot in (shot(0, observations), shot(10, {})):
        record(telemetry, controller.tick(snapshot))
        for backend, instance, endpoint in ((A, "gpu-1:9100", A), (name, "gpu-2:9100", B)):
            labels = {"backend": backend, "engine_instance": instance, "endpoint": endpoint}
            assert value(telemetry, "backend_info", pool="llm", **labels) == 1


def test_what_was_learned_is_told_also_while_blind() -> None:
    """Capacity and slots stand until something else is learned; assumed slots are not told."""

    class Learning(Equal):
        """Has learned the slots of A only."""

        def step(
            self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
        ) -> tuple[Targets, PolicyMemory]:
            """The same at each tick."""
            targets, memory = super().step(signals, memory)
            carries = {A: Carries(800.0, 16.0), B: Carries(400.0, None)}
            return replace(targets, carries=carries), memory

    telemetry, controller = fresh(), Controller([PoolSpec("llm", Learning(), [A, B, C])])
    for snapshot in (shot(0, {A: seen(), B: seen(), C: seen()}), shot(10, {})):
        record(telemetry, controller.tick(snapshot))
        told = {
            each: (
                value(telemetry, "backend_capacity_tokens_per_second", pool="llm", backend=each),
                value(telemetry, "backend_slots", pool="llm", backend=each),
            )
            for each in (A, B, C)
        }
        assert told == {A: (800.0, 16.0), B: (400.0, None), C: (None, None)}


def test_the_signals_that_a_tick_saw_are_told() -> None:
    """Load as the controller saw it; of a backend that shows nothing there is nothing."""
    telemetry, controller = fresh(), Controller([PoolSpec("llm", Ladder(), [A, B])])
    record(telemetry, controller.tick(shot(0, {A: seen(0.4, running=7.0), B: Observation()})))
    told = {
        (backend, signal): value(
            telemetry, "backend_signal", pool="llm", backend=backend, signal=signal
        )
        for backend in (A, B)
        for signal in ("running", "kv_usage", "awake")
    }
    assert {key: number for key, number in told.items() if number is not None} == {
        (A, "running"): 7.0,
        (A, "kv_usage"): 0.4,
    }


def test_panic_neutral_and_ignored_instances_are_told() -> None:
    """Each is a gauge of the pool that is 0 when all is well."""
    telemetry, controller = fresh(), Controller()
    names = ("pool_panic", "pool_neutral", "pool_ignored_instances")

    def told() -> list[float | None]:
        return [value(telemetry, name, pool="llm") for name in names]

    record(telemetry, controller.tick(shot(0, {A: seen(), B: seen()})))
    assert told() == [0, 0, 0]
    asleep = {A: seen(awake=0.0), B: seen(awake=0.0)}
    stray = Snapshot(START_S + 60, {"llm": PoolSnapshot(asleep, unmapped=("odd:1", "odd:2"))})
    record(telemetry, controller.tick(stray))
    assert told() == [1, 0, 2]
    record(telemetry, controller.tick(shot(70, {})))
    record(telemetry, controller.tick(shot(80 + Limits().blind_hold_s, {})))
    assert told() == [0, 1, 0]


def test_a_change_of_a_pool_has_its_time() -> None:
    """It is that of the confirmation; held ticks and failed reloads do not move it."""
    telemetry, controller = fresh(), Controller()
    changed = partial(value, telemetry, "pool_changed_timestamp_seconds", pool="llm")
    record(telemetry, controller.tick(shot(0, {A: seen(), B: seen()}), UNCONFIRMED))
    assert changed() is None
    record(telemetry, controller.tick(shot(60, {A: seen(), B: seen()})))
    assert changed() == START_S + 60
    record(telemetry, controller.tick(shot(70, {A: seen(), B: seen()})))
    assert changed() == START_S + 60
    record(telemetry, controller.tick(shot(130, {A: seen(), B: seen(0.95)})))
    assert changed() == START_S + 130


def test_an_answer_that_never_came_has_no_time() -> None:
    """Before Prometheus answers there is no last answer; one that fails later does not move it."""
    telemetry, controller = fresh(), Controller()
    answered = partial(value, telemetry, "last_observed_timestamp_seconds")
    refused = SourceError(SourceFault.REFUSED, "connection refused")
    record(telemetry, controller.tick(Snapshot(START_S, error=refused)))
    assert answered() is None
    record(telemetry, controller.tick(shot(10, {A: seen()})))
    record(telemetry, controller.tick(Snapshot(START_S + 20, error=refused)))
    assert answered() == START_S + 10


def test_what_never_changes_is_told_from_the_start() -> None:
    """Engine and policy of each pool, and the interval, are there before the first tick."""
    telemetry = fresh()
    assert value(telemetry, "pool_info", pool="llm", engine="vllm", policy="ladder") == 1
    assert value(telemetry, "tick_interval_seconds") == 10
    assert value(telemetry, "state_write_errors_total") == 0


def test_whoever_left_has_no_series() -> None:
    """No series of a departed backend is left once Nginx has confirmed that it is gone."""
    telemetry, controller = fresh(), Controller()
    record(telemetry, controller.tick(shot(0, {A: seen(), B: seen()})))
    assert B in generate_latest(telemetry.registry).decode()
    record(telemetry, controller.tick(shot(60, {A: seen()})))
    assert B not in generate_latest(telemetry.registry).decode()


def test_a_telemetry_shares_nothing_with_another() -> None:
    """Two controllers in one process do not mix their metrics."""
    lived()
    assert value(fresh(), "prometheus_requests_total") == 0


def test_the_page_lists_what_is_exposed() -> None:
    """Every metric stands in docs/metrics.md with its labels, and none that is not there."""
    listed = {
        row[1]: set(re.findall(r"`(\w+)`", row[2]))
        for row in re.finditer(r"^\| `(\w+)` \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    }
    exposed = {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in everything().registry.collect()
    }
    assert exposed == {f"vllm_nginx_lb_{name}": labels for name, labels in listed.items()}


@pytest.mark.parametrize("count", [10, 110])
def test_a_backend_costs_eleven_series(count: int) -> None:
    """That is what the page promises, at any number of backends."""
    assert series(count + 10) - series(count) == 10 * 11


def series(count: int) -> int:
    """How many series there are with so many backends, of which everything is known."""
    everybody = {f"10.0.{i // 250}.{i % 250}:8000": seen() for i in range(count)}
    return len(
        [sample for family in everything(everybody).registry.collect() for sample in family.samples]
    )


def everything(everybody: Mapping[str, Observation] | None = None) -> Telemetry:
    """Telemetry of a controller of which every metric is there."""

    class Knowing(Equal):
        """Knows slots and capacities of all."""

        def step(
            self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
        ) -> tuple[Targets, PolicyMemory]:
            """The same for all."""
            targets, memory = super().step(signals, memory)
            carries = dict.fromkeys(signals, Carries(800.0, 16.0))
            slots = dict.fromkeys(signals, 16)
            return replace(targets, carries=carries, max_conns=slots), memory

    telemetry, controller = fresh(), Controller([PoolSpec("llm", Knowing(), None)])
    record(telemetry, controller.tick(shot(0, everybody or {A: seen(), B: seen()})))
    return telemetry
