"""Is a snapshot fit to act on, and why not: every kind of blindness has its own reason."""

from collections.abc import Mapping

import pytest

from controller.core.gate import Verdict, judge
from controller.core.model import Observation, PoolSnapshot, SampleFault, Snapshot
from controller.core.reasons import BackendReason, PoolReason
from controller.policy.equal import Equal

from .worlds import (
    FOUR,
    REFUSED,
    START_S,
    A,
    B,
    C,
    D,
    blind,
    faulty,
    pool_of,
    seen,
    shot,
    unscraped,
)

MISSING = Observation(up=True, age_s=2.0)


def judged(observations: Mapping[str, Observation], **rest: object) -> Verdict:
    """The verdict on four members."""
    return judge(pool_of(**rest), FOUR, shot(START_S, observations))  # type: ignore[arg-type]  # by name, from the tests


def test_a_fit_snapshot_is_not_blind() -> None:
    """With all signals there, every backend is usable and nothing is held."""
    verdict = judged(dict.fromkeys(FOUR, seen()))
    assert (verdict.blind, verdict.detail, verdict.held) == (None, "", {})
    assert verdict.signals.keys() == set(FOUR)


def test_an_unreachable_prometheus() -> None:
    """An error of the source makes the pool blind, and its message is told for each backend."""
    verdict = judge(pool_of(), FOUR, blind(START_S))
    assert (verdict.blind, verdict.detail) == (PoolReason.BLIND_SOURCE, "connection refused")
    assert verdict.signals == {}
    assert verdict.held == dict.fromkeys(FOUR, (BackendReason.HELD_BLIND, "connection refused"))


def test_a_partial_answer() -> None:
    """Warnings beside an answer make it unfit even where it looks whole."""
    snapshot = shot(START_S, warnings=("store gateway down", "late"))
    verdict = judge(pool_of(), FOUR, snapshot)
    assert verdict.blind == PoolReason.BLIND_PARTIAL
    assert verdict.detail == "store gateway down; late"
    assert verdict.signals == {}


def test_an_error_counts_before_warnings() -> None:
    """Where there is an error and a warning, the error is the reason."""
    snapshot = shot(START_S, warnings=("late",), error=REFUSED)
    assert judge(pool_of(), FOUR, snapshot).blind == PoolReason.BLIND_SOURCE


@pytest.mark.parametrize(
    "snapshot",
    [
        Snapshot(START_S),
        shot(START_S, {}),
        shot(START_S, name="other"),
        shot(START_S, dict.fromkeys(FOUR, Observation())),
        shot(START_S, dict.fromkeys(FOUR, MISSING)),
    ],
    ids=["no pool", "no backend", "other pool", "nothing of a backend", "no signal"],
)
def test_an_empty_answer(snapshot: Snapshot) -> None:
    """No series for any backend is emptiness, however the answer says so."""
    verdict = judge(pool_of(), FOUR, snapshot)
    assert verdict.blind == PoolReason.BLIND_EMPTY
    assert {reason for reason, _ in verdict.held.values()} == {BackendReason.HELD_MISSING}


def test_a_pool_without_members() -> None:
    """A pool that nobody is known of is empty, not fit."""
    assert judge(pool_of(()), (), shot(START_S)).blind == PoolReason.BLIND_EMPTY


def test_lost_colons() -> None:
    """Series whose names lost the colon are named, with the page that says what to do."""
    found = PoolSnapshot(dict.fromkeys(FOUR, MISSING), foreign_names=("vllm_num_requests_running",))
    verdict = judge(pool_of(), FOUR, Snapshot(START_S, {"llm": found}))
    assert verdict.blind == PoolReason.BLIND_NAMES
    assert "vllm_num_requests_running" in verdict.detail
    assert "docs/prometheus.md" in verdict.detail


def test_lost_colons_elsewhere_do_no_harm() -> None:
    """Foreign names beside enough usable backends are no blindness."""
    found = PoolSnapshot(dict.fromkeys(FOUR, seen()), foreign_names=("vllm_x",))
    assert judge(pool_of(), FOUR, Snapshot(START_S, {"llm": found})).blind is None


def test_stale_samples() -> None:
    """When most of what is held is stale, staleness is the reason."""
    stale = faulty(SampleFault.STALE)
    verdict = judged({A: seen(), B: stale, C: stale, D: unscraped()})
    assert verdict.blind == PoolReason.BLIND_STALE
    assert verdict.detail == (
        "1 of 4 backends usable, expected 50%: 1 held_scrape_failed, 2 held_stale"
    )


def test_mixed_faults_below_the_coverage() -> None:
    """When no fault stands out, too little coverage is the reason, with a count of each fault."""
    verdict = judged(
        {A: seen(), B: faulty(SampleFault.STALE), C: faulty(SampleFault.NAN), D: unscraped()}
    )
    assert verdict.blind == PoolReason.BLIND_COVERAGE
    assert verdict.detail == (
        "1 of 4 backends usable, expected 50%: 1 held_nan, 1 held_scrape_failed, 1 held_stale"
    )


def test_all_scrapes_failed() -> None:
    """A pool whose scrapes all fail is unseen, not empty: its targets are known."""
    verdict = judged(dict.fromkeys(FOUR, unscraped()))
    assert verdict.blind == PoolReason.BLIND_COVERAGE


@pytest.mark.parametrize(
    ("usable", "members", "wanted", "fit"),
    [
        *((2, 4, 0.5, True), (1, 4, 0.5, False), (4, 4, 1.0, True), (3, 4, 1.0, False)),
        *((11, 20, 0.55, True), (10, 20, 0.55, False), (7, 25, 0.28, True)),
    ],
)
def test_the_edge_of_the_coverage_is_exact(
    usable: int, members: int, wanted: float, *, fit: bool
) -> None:
    """Exactly the wanted share of usable backends is enough, one fewer is not."""
    names = [f"10.0.1.{number}:80" for number in range(members)]
    observations = dict.fromkeys(names[:usable], seen())
    verdict = judge(pool_of(names, min_coverage=wanted), names, shot(START_S, observations))
    assert (verdict.blind is None) == fit
    assert len(verdict.signals) == usable


@pytest.mark.parametrize(
    ("observation", "reason", "sentence"),
    [
        (faulty(SampleFault.NAN), BackendReason.HELD_NAN, "kv_usage is nan"),
        (faulty(SampleFault.INFINITE), BackendReason.HELD_INFINITE, "kv_usage is infinite"),
        (faulty(SampleFault.STALE), BackendReason.HELD_STALE, "kv_usage is stale, 90 s old"),
        (faulty(SampleFault.MALFORMED), BackendReason.HELD_MALFORMED, "kv_usage is malformed"),
        (MISSING, BackendReason.HELD_MISSING, "no sample of kv_usage"),
        (unscraped(), BackendReason.HELD_SCRAPE_FAILED, "the last scrape failed (up is 0)"),
    ],
)
def test_each_fault_of_a_backend_has_its_own_reason(
    observation: Observation, reason: BackendReason, sentence: str
) -> None:
    """NaN, infinite, stale, malformed, missing and unscraped backends are told apart."""
    verdict = judged({A: observation, B: seen(), C: seen(), D: seen()})
    assert verdict.blind is None
    assert verdict.held == {A: (reason, sentence)}


def test_a_fault_of_a_signal_that_nobody_needs_holds_nobody() -> None:
    """Only the signals that the policy needs make a backend unusable."""
    odd = Observation(seen().signals, {"spare": SampleFault.NAN}, 3.0, up=True)
    assert judged(dict.fromkeys(FOUR, odd)).held == {}


def test_a_backend_that_is_not_listed_as_target_is_usable() -> None:
    """Without `up`, as with pushed series, the signals alone make a backend usable."""
    pushed = Observation(seen().signals, {}, 3.0, up=None)
    assert judged(dict.fromkeys(FOUR, pushed)).blind is None


def test_a_policy_without_needs_is_blind_to_nothing_at_all() -> None:
    """Even a policy that needs no signal does not call a backend usable that nobody saw."""
    verdict = judge(pool_of(policy=Equal()), FOUR, shot(START_S, {}))
    assert verdict.blind == PoolReason.BLIND_EMPTY
    assert verdict.held[A] == (BackendReason.HELD_MISSING, "no sample of anything")
    one_target = {A: Observation(up=True)}
    assert judge(pool_of([A], policy=Equal()), [A], shot(START_S, one_target)).blind is None


def test_a_stranger_is_nobodys_signal() -> None:
    """Observations of addresses outside the pool are not used."""
    stranger = "10.9.9.9:80"
    verdict = judged(dict.fromkeys((*FOUR, stranger), seen()))
    assert stranger not in verdict.signals
