"""Who is ejected for cause, when, and for how long."""

from collections.abc import Mapping

import pytest

from controller.core.health import HEALTH_SIGNALS, examine, symptom
from controller.core.model import Signal
from controller.core.reasons import BackendReason
from controller.core.settings import HealthSettings

from .worlds import START_S, A

SETTINGS = HealthSettings(strikes=2, failing_rate=0.2, hold_s=60, hold_max_s=600, expiry_s=60)
HEALTHY: dict[str, float] = {
    Signal.RUNNING: 3.0,
    Signal.WAITING: 0.0,
    Signal.PROGRESS_RATE: 30.0,
    Signal.FINISHED_RATE: 1.0,
    Signal.FAILED_RATE: 0.0,
    Signal.AWAKE: 1.0,
}
STALLED = HEALTHY | {Signal.PROGRESS_RATE: 0.0}
FAILING = HEALTHY | {Signal.FAILED_RATE: 5.0}
ASLEEP = HEALTHY | {Signal.AWAKE: 0.0, Signal.RUNNING: 0.0}

Signals = Mapping[str, float] | None


class Patient:
    """One backend, examined again and again."""

    def __init__(self, settings: HealthSettings = SETTINGS) -> None:
        self.settings = settings
        self.records = examine([], {}, {}, START_S, settings)

    def at(self, second: float, signals: Signals) -> BackendReason | None:
        """Examine it so many seconds after the start; None stands for nothing known."""
        known = {} if signals is None else {A: signals}
        self.records = examine([A], known, self.records, START_S + second, self.settings)
        return self.records[A].ejected if A in self.records else None

    def ejected_at(self, second: float, signals: Signals = FAILING) -> None:
        """Make it ill twice, so that it is out from this second on."""
        self.at(second - 10, signals)
        assert self.at(second, signals) is not None


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, None),
        ({Signal.AWAKE: 0.0}, BackendReason.EJECTED_ASLEEP),
        ({Signal.FAILED_RATE: 1.01}, BackendReason.EJECTED_FAILING),
        ({Signal.FAILED_RATE: 1.0}, None),
        ({Signal.FAILED_RATE: 0.21, Signal.FINISHED_RATE: 0.0}, BackendReason.EJECTED_FAILING),
        ({Signal.FAILED_RATE: 0.2, Signal.FINISHED_RATE: 0.0}, None),
        ({Signal.PROGRESS_RATE: 0.0}, BackendReason.EJECTED_STALLED),
        (
            {Signal.PROGRESS_RATE: 0.0, Signal.RUNNING: 0.0, Signal.WAITING: 1.0},
            BackendReason.EJECTED_STALLED,
        ),
        ({Signal.PROGRESS_RATE: 0.0, Signal.RUNNING: 0.0}, None),
        ({Signal.AWAKE: 0.0, Signal.FAILED_RATE: 9.0}, BackendReason.EJECTED_ASLEEP),
        ({Signal.FAILED_RATE: 9.0, Signal.PROGRESS_RATE: 0.0}, BackendReason.EJECTED_FAILING),
    ],
)
def test_a_symptom_is_what_the_signals_show(
    change: dict[str, float], found: BackendReason | None
) -> None:
    """Sleep, more failures than successes, and work without steps are symptoms, edges included."""
    assert symptom(HEALTHY | change, SETTINGS) == found


def test_an_engine_whose_progress_is_unknown_is_not_stalled() -> None:
    """Requests without a sign of progress prove nothing where progress is not published."""
    assert symptom({Signal.RUNNING: 2.0}, SETTINGS) is None


def test_a_long_prefill_is_no_stall() -> None:
    """An engine that makes steps is alive, though no token comes for a while."""
    prefill = HEALTHY | {Signal.PROGRESS_RATE: 0.1}
    assert symptom(prefill, SETTINGS) is None


def test_nothing_known_shows_nothing() -> None:
    """A missing signal hides its symptom and makes none."""
    assert symptom({}, SETTINGS) is None


def test_health_asks_for_every_signal_that_a_symptom_reads() -> None:
    """The signals that are asked for are those of a healthy engine's record."""
    assert set(HEALTHY) == HEALTH_SIGNALS


def test_a_healthy_backend_has_no_record() -> None:
    """Nothing is remembered of a backend that never showed a symptom."""
    patient = Patient()
    patient.at(0, HEALTHY)
    assert patient.records == {}


@pytest.mark.parametrize("strikes", [1, 2, 5])
def test_an_ejection_takes_consecutive_strikes(strikes: int) -> None:
    """A backend goes out at the last of so many ticks with the same symptom, not before."""
    patient = Patient(HealthSettings(strikes=strikes))
    verdicts = [patient.at(10 * tick, FAILING) for tick in range(strikes)]
    assert verdicts == [None] * (strikes - 1) + [BackendReason.EJECTED_FAILING]


@pytest.mark.parametrize("between", [HEALTHY, STALLED], ids=["healthy", "another symptom"])
def test_strikes_have_to_be_of_one_symptom_in_a_row(between: Signals) -> None:
    """A healthy tick or another symptom between two strikes starts the count anew."""
    patient = Patient()
    assert [patient.at(0, FAILING), patient.at(10, between), patient.at(20, FAILING)] == [None] * 3


def test_a_tick_without_signals_is_no_strike_and_forgets_none() -> None:
    """What is not seen neither adds a strike nor takes one back."""
    patient = Patient()
    assert [patient.at(0, FAILING), patient.at(10, None)] == [None, None]
    assert patient.at(20, FAILING) == BackendReason.EJECTED_FAILING


def test_a_failed_scrape_never_ejects() -> None:
    """A healthy backend of which nothing is known stays in for ever."""
    patient = Patient()
    assert [patient.at(10 * tick, None) for tick in range(100)] == [None] * 100


def test_a_hold_ends_when_its_time_is_over() -> None:
    """An ejected backend that is well returns at the end of its hold, and not a second sooner."""
    patient = Patient()
    patient.ejected_at(0)
    assert patient.at(59.9, HEALTHY) == BackendReason.EJECTED_FAILING
    assert patient.at(60, HEALTHY) is None


def test_whoever_is_still_ill_stays_out_after_the_hold() -> None:
    """The hold is a least time: the symptom keeps a backend out for as long as it lasts."""
    patient = Patient()
    patient.ejected_at(0, STALLED)
    assert [patient.at(s, STALLED) for s in (60, 300, 900)] == [BackendReason.EJECTED_STALLED] * 3
    assert patient.at(910, HEALTHY) is None


def test_a_relapse_doubles_the_hold_up_to_the_maximum() -> None:
    """Each relapse holds a backend twice as long as before, at most for the maximum."""
    patient = Patient()
    second, holds = 10.0, []
    for _ in range(6):
        patient.ejected_at(second)
        record = patient.records[A]
        holds.append(record.hold_s)
        second = record.until_s - START_S
        assert patient.at(second - 0.1, HEALTHY) == BackendReason.EJECTED_FAILING
        assert patient.at(second, HEALTHY) is None
        second += 20
    assert holds == [60, 120, 240, 480, 600, 600]


def test_a_relapse_is_forgotten_after_the_longest_hold() -> None:
    """A backend that was well for longer than the longest hold starts again with a clean record."""
    patient = Patient()
    patient.ejected_at(0)
    patient.at(60, HEALTHY)
    patient.at(660, HEALTHY)
    assert patient.records[A].hold_s == 60
    patient.at(661, HEALTHY)
    assert patient.records == {}


def test_sleep_needs_no_second_look_and_no_time_out() -> None:
    """A backend that says that it sleeps goes out at once, and is back at once when it wakes."""
    patient = Patient()
    assert patient.at(0, ASLEEP) == BackendReason.EJECTED_ASLEEP
    assert patient.at(1, HEALTHY) is None


def test_sleep_does_not_shorten_a_hold() -> None:
    """A failing backend that sleeps meanwhile is out for its failures until its hold is over."""
    patient = Patient()
    patient.ejected_at(0)
    assert patient.at(10, ASLEEP) == BackendReason.EJECTED_FAILING
    assert patient.at(20, HEALTHY) == BackendReason.EJECTED_FAILING
    assert patient.at(60, ASLEEP) == BackendReason.EJECTED_ASLEEP
    assert patient.at(70, HEALTHY) is None


def test_an_ejection_expires_when_nothing_is_known_any_more() -> None:
    """An ejected backend that cannot be seen returns after hold and expiry, whichever is later."""
    patient = Patient(HealthSettings(hold_s=60, expiry_s=90))
    patient.ejected_at(0)
    assert patient.at(89.9, None) == BackendReason.EJECTED_FAILING
    assert patient.at(90, None) is None
    patient = Patient(HealthSettings(hold_s=60, expiry_s=30))
    patient.ejected_at(0)
    assert patient.at(59.9, None) == BackendReason.EJECTED_FAILING
    assert patient.at(60, None) is None


def test_the_expiry_counts_from_the_last_symptom() -> None:
    """Each tick that still shows the illness puts the expiry off."""
    patient = Patient()
    patient.ejected_at(0, STALLED)
    patient.at(100, STALLED)
    assert patient.at(159.9, None) == BackendReason.EJECTED_STALLED
    assert patient.at(160, None) is None


@pytest.mark.parametrize(
    ("illness", "proof"),
    [
        (FAILING, {Signal.FAILED_RATE}),
        (ASLEEP, {Signal.AWAKE}),
        (STALLED, {Signal.RUNNING}),
        (STALLED, {Signal.PROGRESS_RATE}),
    ],
)
def test_silence_is_no_recovery(illness: Mapping[str, float], proof: set[Signal]) -> None:
    """When the signals that would show an illness are missing, its backend is unseen, not well."""
    patient = Patient()
    patient.ejected_at(0, illness)
    patient.at(100, illness)
    silent = {name: value for name, value in HEALTHY.items() if name not in proof}
    out = patient.at(110, silent)
    assert out is not None
    assert patient.at(159, silent) == out
    assert patient.at(160, silent) is None


def test_without_ejections_nobody_is_examined() -> None:
    """When ejections are off, even old records are dropped."""
    patient = Patient()
    patient.ejected_at(0)
    patient.settings = HealthSettings(enabled=False)
    assert patient.at(10, FAILING) is None
    assert patient.records == {}


def test_whoever_left_the_pool_has_no_record() -> None:
    """Records are kept for members only."""
    patient = Patient()
    patient.ejected_at(0)
    assert examine([], {}, patient.records, START_S, SETTINGS) == {}
