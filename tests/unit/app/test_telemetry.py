"""The controller's own metrics."""

import subprocess

import pytest
from prometheus_client import generate_latest

from controller.app.loop import TickRecord
from controller.app.telemetry import Telemetry
from controller.core.errors import ActuationError, ActuationFault, SourceError, SourceFault
from controller.core.model import Snapshot

from .ticks import START_S, A, B, C, Controller, seen, shot

UNCONFIRMED = ActuationError(ActuationFault.UNCONFIRMED, "not served")


def record(telemetry: Telemetry, tick: TickRecord) -> None:
    """Count a tick that asked Prometheus twice."""
    telemetry.record(tick, query_s=0.02, requests=2)


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    """A sample; None when there is none."""
    return telemetry.registry.get_sample_value(f"vllm_nginx_lb_{name}", labels)


def lived() -> Telemetry:
    """Telemetry of a controller that saw a bit of everything."""
    telemetry, controller = Telemetry("1.2.3"), Controller()
    everybody = {A: seen(), B: seen(), C: seen()}
    record(telemetry, controller.tick(shot(0, everybody), UNCONFIRMED))
    record(telemetry, controller.tick(shot(10, everybody)))
    error = SourceError(SourceFault.TIMED_OUT, "no answer within 5 s")
    record(telemetry, controller.tick(Snapshot(START_S + 20, error=error)))
    record(telemetry, controller.tick(shot(30, everybody | {B: seen(awake=0.0)})))
    return telemetry


@pytest.mark.integration
@pytest.mark.parametrize("telemetry", [Telemetry("1.2.3"), lived()], ids=["fresh", "lived"])
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
    telemetry = Telemetry("1.2.3")
    assert value(telemetry, "build_info", version="1.2.3") == 1
    assert value(telemetry, "in_sync") is None
    assert value(telemetry, "last_tick_timestamp_seconds") is None


def test_the_last_tick_is_described() -> None:
    """Weights wanted and confirmed, reasons, ages, blindness and workers are those of the tick."""
    telemetry, controller = Telemetry("1.2.3"), Controller()
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
    telemetry, controller = Telemetry("1.2.3"), Controller()
    record(telemetry, controller.tick(shot(0, {A: seen()})))
    record(telemetry, controller.tick(shot(10, {})))
    assert value(telemetry, "pool_blind", pool="llm", reason="blind_empty") == 1
    assert value(telemetry, "pool_blind", pool="llm", reason="none") is None
    record(telemetry, controller.tick(shot(20, {A: seen()})))
    assert value(telemetry, "pool_blind", pool="llm", reason="blind_empty") is None


def test_nginx_in_sync() -> None:
    """The sync is told from what Nginx serves after the tick, and lost when it cannot be asked."""
    telemetry, controller = Telemetry("1.2.3"), Controller()
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


def test_whoever_left_has_no_series() -> None:
    """No series of a departed backend is left once Nginx has confirmed that it is gone."""
    telemetry, controller = Telemetry("1.2.3"), Controller()
    record(telemetry, controller.tick(shot(0, {A: seen(), B: seen()})))
    assert B in generate_latest(telemetry.registry).decode()
    record(telemetry, controller.tick(shot(60, {A: seen()})))
    assert B not in generate_latest(telemetry.registry).decode()


def test_a_telemetry_shares_nothing_with_another() -> None:
    """Two controllers in one process do not mix their metrics."""
    lived()
    assert value(Telemetry("1.2.3"), "prometheus_requests_total") == 0
