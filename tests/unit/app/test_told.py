"""What is told of a tick: the status, the log event, and the tables for people."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console, RenderableType

from controller.app import tables
from controller.app.log import MOST_BACKENDS, tick_event
from controller.app.loop import TickRecord
from controller.app.status import status
from controller.app.telemetry import Telemetry
from controller.core.errors import ActuationError, ActuationFault, SourceError, SourceFault
from controller.core.model import Observation, SampleFault, Signal, Snapshot
from controller.core.policy import PolicyMemory, Targets
from controller.core.settings import PoolSpec
from controller.policy.equal import Equal
from controller.policy.ladder import Ladder

from .test_telemetry import record, value
from .ticks import START_S, A, B, C, Controller, seen, shot

REFUSED = SourceError(SourceFault.REFUSED, "connection refused")
UNCONFIRMED = ActuationError(ActuationFault.UNCONFIRMED, "still serves the old one")
NAN = Observation({Signal.RUNNING: 1.0}, {Signal.KV_USAGE: SampleFault.NAN}, 4.0, up=True)


def a_good_tick() -> TickRecord:
    """Three backends: well, asleep, and with a value that is no number."""
    return Controller().tick(shot(0, {A: seen(0.8), B: seen(awake=0.0), C: NAN}))


def a_failed_tick() -> TickRecord:
    """Nginx does not serve what it was told to."""
    return Controller().tick(shot(0, {A: seen()}), UNCONFIRMED)


def a_blind_tick() -> TickRecord:
    """Prometheus cannot be asked, and neither can Nginx."""
    controller = Controller([PoolSpec("llm", Ladder(), [A, B])], served=None)
    return controller.tick(Snapshot(START_S, error=REFUSED))


def a_partial_tick() -> TickRecord:
    """Prometheus warns that its answer may be partial."""
    controller = Controller([PoolSpec("llm", Ladder(), [A, B])])
    return controller.tick(Snapshot(START_S, warnings=("a store is down",)))


every_tick = pytest.mark.parametrize(
    "tick",
    [a_good_tick(), a_failed_tick(), a_blind_tick(), a_partial_tick()],
    ids=["good", "failed", "blind", "partial"],
)


@every_tick
def test_the_status_is_json(tick: TickRecord) -> None:
    """The status has values of JSON only, none of them not a number."""
    described = status(tick)
    assert json.loads(json.dumps(described, allow_nan=False)) == described


@every_tick
def test_the_event_is_json(tick: TickRecord) -> None:
    """The log event has values of JSON only, none of them not a number."""
    event = tick_event(tick)
    assert json.loads(json.dumps(event, allow_nan=False)) == event


def backends(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The backends of the only pool by address."""
    (pool,) = described["pools"]
    return {backend["address"]: backend for backend in pool["backends"]}


class Slotted(Equal):
    """Equal weights with 16 slots each."""

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """The same slots for all."""
        targets, memory = super().step(signals, memory)
        return replace(targets, max_conns=dict.fromkeys(signals, 16)), memory


def test_a_limit_is_told_everywhere() -> None:
    """Slots stand in the status, the log, the table and the metrics, beside the weight."""
    controller = Controller([PoolSpec("llm", Slotted(), [A, B])])
    telemetry = Telemetry("1.2.3", 10.0)
    tick = controller.tick(shot(0, {A: seen(), B: seen()}))
    described = backends(status(tick))[A]
    assert (described["max_conns_desired"], described["max_conns_applied"]) == (16, 16)
    assert tick_event(tick)["pools"]["llm"]["backends"][A]["max_conns"] == 16
    assert "100 (most 16)" in printed(tables.status_view(status(tick)))
    record(telemetry, tick)
    assert value(telemetry, "backend_max_conns_applied", pool="llm", backend=A) == 16


@every_tick
def test_every_weight_in_the_status_has_its_reason(tick: TickRecord) -> None:
    """Each backend of each pool has a reason beside its weights."""
    for backend in backends(status(tick)).values():
        assert backend["reason"]
        assert backend["weight_desired"] is None or 1 <= backend["weight_desired"] <= 100


def test_the_status_of_a_backend() -> None:
    """The status has the signals, the faults, the age, and the weights wanted and confirmed."""
    described = status(a_good_tick())
    assert backends(described)[A] == {
        "address": A,
        "weight_desired": 60,
        "weight_applied": 60,
        "down_desired": False,
        "down_applied": False,
        "max_conns_desired": None,
        "max_conns_applied": None,
        "reason": "policy",
        "detail": "KV 0.80: 60",
        "up": True,
        "age_s": 3.2,
        "signals": {
            "awake": 1.0,
            "kv_usage": 0.8,
            "preemptions_total": 0.0,
            "running": 2.0,
            "waiting": 0.0,
        },
        "faults": {},
    }
    assert (backends(described)[B]["down_applied"], backends(described)[B]["reason"]) == (
        True,
        "ejected_asleep",
    )
    assert backends(described)[C]["faults"] == {"kv_usage": "nan"}
    assert described["generation"]["served"] == described["generation"]["applied"]


def test_the_status_of_a_failure() -> None:
    """A tick that failed says why, and that nothing is applied."""
    described = status(a_failed_tick())
    assert (described["result"], described["error"]) == ("failed", "still serves the old one")
    assert (described["generation"]["applied"], described["applied_at"]) == (None, None)


def test_the_status_of_a_blind_tick() -> None:
    """What Prometheus and Nginx lack is told apart."""
    described = status(a_blind_tick())
    assert described["prometheus"] == {
        "error": "connection refused",
        "fault": "refused",
        "warnings": [],
    }
    assert described["nginx"]["detail"] == "connection refused"
    assert described["reason"] == "nginx_unreachable"
    assert described["pools"][0]["blind"] == "blind_source"


def test_the_event_of_a_tick() -> None:
    """The event has the decision, the generation, the ages, and a reason per backend."""
    tick = a_good_tick()
    event = tick_event(tick)
    assert (event["result"], event["reason"], event["apply_s"]) == ("confirmed", "first", 0.4)
    assert event["generation"] == event["served"] == tick.decision.rendered.generation
    pool = event["pools"]["llm"]
    assert (pool["usable"], pool["members"], pool["oldest_sample_s"]) == (2, 3, 4.0)
    assert pool["backends"][B] == {
        "weight": 100,
        "down": True,
        "reason": "ejected_asleep",
        "detail": "out until it is well",
    }
    assert pool["backends"][C]["reason"] == "unseen"


def test_the_event_of_a_failure() -> None:
    """Faults of Nginx and of Prometheus stand in the event of their tick."""
    failed, blind = tick_event(a_failed_tick()), tick_event(a_blind_tick())
    assert (failed["fault"], failed["error"]) == ("unconfirmed", "still serves the old one")
    assert blind["prometheus_error"] == "connection refused"


def test_a_pool_of_a_thousand_fits_into_an_event() -> None:
    """However many backends come, go and fall ill at once, the event stays short."""
    controller = Controller()
    names = [f"10.1.{n // 250}.{n % 250}:8000" for n in range(1500)]
    controller.tick(shot(0, dict.fromkeys(names[:1000], seen())))
    ill = dict.fromkeys(names[500:900], seen(awake=0.0))
    tick = controller.tick(shot(60, dict.fromkeys(names[500:], seen()) | ill))
    event = tick_event(tick)
    assert event["reason"] == "members"
    pool = event["pools"]["llm"]
    assert (len(pool["backends"]), pool["not_shown"]) == (MOST_BACKENDS, 1000 - MOST_BACKENDS)
    assert len(json.dumps(event)) < 5000


def test_those_with_something_to_tell_come_first() -> None:
    """Of many backends the event names the ones that are not simply the policy's."""
    names = [f"10.1.0.{n}:8000" for n in range(100)]
    ill = names[-1]
    tick = Controller().tick(shot(0, dict.fromkeys(names, seen()) | {ill: seen(awake=0.0)}))
    assert next(iter(tick_event(tick)["pools"]["llm"]["backends"])) == ill


def printed(view: RenderableType) -> str:
    """What a person sees on a wide terminal without colours."""
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


@every_tick
def test_the_status_can_be_printed(tick: TickRecord) -> None:
    """The table shows every backend with its reason."""
    text = printed(tables.status_view(status(tick)))
    for backend in backends(status(tick)).values():
        assert backend["address"] in text
        assert f"{backend['reason']}: " in text


def test_the_table_shows_what_matters() -> None:
    """Weights, load, age and reason of a backend stand in its line."""
    text = printed(tables.status_view(status(a_good_tick())))
    (line,) = [line.replace("\u2502", " ") for line in text.splitlines() if A in line]
    assert line.split() == [
        A,
        "60",
        "60",
        "2",
        "0",
        "80%",
        "3",
        "s",
        "policy:",
        "KV",
        "0.80:",
        "60",
    ]
    assert "down" in text


@pytest.mark.parametrize(
    ("tick", "note"),
    [
        (a_failed_tick(), "still serves the old one"),
        (a_blind_tick(), "connection refused"),
        (a_partial_tick(), "a store is down"),
    ],
)
def test_what_is_wrong_is_noted(tick: TickRecord, note: str) -> None:
    """Errors and warnings stand above the tables."""
    assert note in printed(tables.status_view(status(tick)))


def test_one_backend_is_explained() -> None:
    """Every signal, and every fault, of a backend is shown with why it has its weight."""
    explained = backends(status(a_good_tick()))
    text = printed(tables.backend_view({**explained[A], "pool": "llm"}))
    assert f"{A} in pool llm" in text
    assert "weight applied 60, desired 60" in text
    assert "because policy: KV 0.80: 60" in text
    assert "last scrape succeeded, oldest sample 3.2 s" in text
    assert "kv_usage" in text
    assert "nan" in printed(tables.backend_view({**explained[C], "pool": "llm"}))


def test_a_name_is_no_markup() -> None:
    """Brackets in what is shown, as of an IPv6 address, are shown."""
    v6 = "[fd00::1]:8000"
    tick = Controller().tick(shot(0, {v6: seen()}))
    described = status(tick)
    described["prometheus"]["error"] = "[red]not found[/red]"
    text = printed(tables.status_view(described))
    assert v6 in text
    assert "[red]not found[/red]" in text
    assert v6 in printed(tables.backend_view({**backends(described)[v6], "pool": "llm"}))


def test_findings_are_a_table() -> None:
    """Each finding is a line with its severity, subject and sentence."""
    text = printed(tables.findings_table([("error", "nginx", "does not answer [x]")]))
    (line,) = [line for line in text.splitlines() if "error" in line]
    assert line.replace("\u2502", " ").split() == ["error", "nginx", "does", "not", "answer", "[x]"]
