"""The pool as it would be if reloads were free: weights, who is out, and the reason of each."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.core.gate import judge
from controller.core.memory import HealthMemory, PoolMemory
from controller.core.model import Observation, SampleFault, Server, Snapshot
from controller.core.reasons import BackendReason
from controller.core.render import UpstreamOptions, WhenFull
from controller.core.settings import Limits, PoolSpec
from controller.core.targets import PoolCase, PoolTarget, target

from .worlds import (
    FOUR,
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

TEN = tuple(f"10.0.2.{number}:80" for number in range(10))
OUT = HealthMemory(
    symptom=BackendReason.EJECTED_FAILING, ejected=BackendReason.EJECTED_FAILING, hold_s=60
)


def make_target(
    snapshot: Snapshot,
    *,
    spec: PoolSpec | None = None,
    memory: PoolMemory | None = None,
    applied: Sequence[Server] | None = None,
    limits: Limits | None = None,
    unresolved: frozenset[str] = frozenset(),
) -> PoolTarget:
    """The target of a tick, with the gate and the policy run as in a decision."""
    spec = spec or pool_of()
    members = sorted(spec.backends or ())
    memory = memory or PoolMemory()
    verdict = judge(spec, members, snapshot)
    targets = None
    if verdict.blind is None:
        targets, _ = spec.policy.step(verdict.signals, memory.policy)
        memory = PoolMemory(
            memory.policy, {**memory.weights, **targets.weights}, memory.health, {}, None
        )
    elif memory.blind_since_s is None:
        memory = PoolMemory(
            memory.policy, memory.weights, memory.health, {}, blind_since_s=snapshot.at_s
        )
    limits = limits or Limits()
    return target(
        PoolCase(
            spec, limits, members, unresolved, verdict, targets, memory, applied, snapshot.at_s
        )
    )


def weights(made: PoolTarget) -> dict[str, int]:
    """The weights by address."""
    return {server.address: server.weight for server in made.servers}


def out(made: PoolTarget) -> set[str]:
    """Addresses that are down."""
    return {server.address for server in made.servers if server.down}


def reasons(made: PoolTarget) -> dict[str, BackendReason]:
    """The reasons by address."""
    return {address: reason for address, (reason, _) in made.reasons.items()}


def test_usable_backends_get_the_weight_of_the_policy() -> None:
    """A usable backend has the policy's weight, limit and sentence."""
    made = make_target(
        shot(START_S, {A: seen(70, waiting=8.0), B: seen(100)}), spec=pool_of([A, B])
    )
    assert made.servers == (Server(A, 70, max_conns=8), Server(B, 100))
    assert made.reasons[A] == (BackendReason.POLICY, "as wished")


def limits_with(when_full: WhenFull, replicas: int = 1) -> list[int | None]:
    """The `max_conns` of two backends of which one has 9 slots and admits 5."""
    spec = pool_of([A, B], options=UpstreamOptions(when_full=when_full), replicas=replicas)
    snapshot = shot(START_S, {A: seen(waiting=9.0, admitted=5.0), B: seen()})
    return [server.max_conns for server in make_target(snapshot, spec=spec).servers]


def test_a_limit_is_what_the_use_of_it_asks_for() -> None:
    """Slots spill, what is admitted sheds, and a pool that ignores both has no limit."""
    assert limits_with(WhenFull.SPILL) == [9, None]
    assert limits_with(WhenFull.SHED) == [5, None]
    assert limits_with(WhenFull.IGNORE) == [None, None]


@pytest.mark.parametrize(
    ("when_full", "detail", "counted"),
    [
        (WhenFull.SPILL, "as wished, tried with 3 at once until more are seen to run", {A}),
        (WhenFull.SHED, "as wished", set()),
        (WhenFull.IGNORE, "as wished", {A}),
    ],
)
def test_a_trial_is_told_where_it_is_one(
    when_full: WhenFull, detail: str, counted: set[str]
) -> None:
    """The sentence has the number of the line; what is shed at is an estimate all the same."""
    spec = pool_of([A, B], options=UpstreamOptions(when_full=when_full), replicas=3)
    snapshot = shot(START_S, {A: seen(waiting=9.0, admitted=5.0, tried=1.0), B: seen()})
    made = make_target(snapshot, spec=spec)
    assert made.reasons[A] == (BackendReason.POLICY, detail)
    assert made.counted == counted


@pytest.mark.parametrize(("replicas", "limit"), [(1, 9), (2, 5), (3, 3), (9, 1), (1000, 1)])
def test_slots_are_divided_among_the_nginx_in_front(replicas: int, limit: int) -> None:
    """Each Nginx lets in its part of the slots, rounded up, so that none is left unused."""
    assert limits_with(WhenFull.SPILL, replicas) == [limit, None]


def test_without_admission_a_pool_sheds_beyond_its_slots() -> None:
    """A policy that knows the slots but no more of a backend still limits it."""
    spec = pool_of([A], options=UpstreamOptions(when_full=WhenFull.SHED))
    made = make_target(shot(START_S, {A: seen(waiting=9.0)}), spec=spec)
    assert made.servers == (Server(A, max_conns=9),)


def test_a_backend_alone_has_nowhere_to_spill_to() -> None:
    """Nginx never gives up the only server of an upstream, which a backup would change."""
    made = make_target(shot(START_S, {A: seen(waiting=9.0)}), spec=pool_of([A]))
    assert made.servers == (Server(A),)


@pytest.mark.parametrize(
    ("wish", "weight"), [(0.001, 1), (0.4, 1), (1.4, 1), (1.6, 2), (99.6, 100), (250.0, 100)]
)
def test_a_weight_is_a_whole_number_from_1_to_100(wish: float, weight: int) -> None:
    """Whatever a policy wants is rounded and bounded to what Nginx takes."""
    assert weights(make_target(shot(START_S, {A: seen(wish)}), spec=pool_of([A]))) == {A: weight}


@pytest.mark.parametrize(
    ("observation", "reason"),
    [
        (faulty(SampleFault.NAN), BackendReason.HELD_NAN),
        (faulty(SampleFault.STALE), BackendReason.HELD_STALE),
        (Observation(up=True), BackendReason.HELD_MISSING),
        (unscraped(), BackendReason.HELD_SCRAPE_FAILED),
    ],
)
def test_a_backend_that_cannot_be_judged_keeps_its_weight(
    observation: Observation, reason: BackendReason
) -> None:
    """Its last weight and its limit stay, it stays in, and the reason says what is wrong."""
    memory = PoolMemory(weights={A: 30.0, B: 80.0})
    snapshot = shot(START_S, {A: observation, B: seen(90)})
    applied = (Server(A, 30, max_conns=5), Server(B, 80))
    made = make_target(snapshot, spec=pool_of([A, B]), memory=memory, applied=applied)
    assert made.servers == (Server(A, 30, max_conns=5), Server(B, 90))
    assert reasons(made) == {A: reason, B: BackendReason.POLICY}


def test_a_newcomer_gets_the_median_of_the_pool() -> None:
    """A backend that was never measured enters at the median of the weights that are known."""
    snapshot = shot(START_S, {A: seen(10), B: seen(40), C: seen(90)})
    made = make_target(snapshot)
    assert weights(made)[D] == 40
    assert made.reasons[D] == (BackendReason.UNSEEN, "no sample of kv_usage")


@pytest.mark.parametrize(("when_full", "limit"), [(WhenFull.SHED, 7), (WhenFull.SPILL, None)])
def test_a_newcomer_takes_no_more_than_others_where_requests_are_shed(
    when_full: WhenFull, limit: int | None
) -> None:
    """A backend that was never measured has the median of the limits where requests are shed."""
    spec = pool_of(options=UpstreamOptions(when_full=when_full))
    snapshot = shot(START_S, {A: seen(admitted=5.0), B: seen(admitted=7.0), C: seen(admitted=9.0)})
    assert make_target(snapshot, spec=spec).servers[3] == Server(D, max_conns=limit)


def test_what_a_backend_that_is_out_could_carry_makes_no_new_file() -> None:
    """The line of a backend that is out stays as it was, whatever the policy wants of it."""
    spec = pool_of(options=UpstreamOptions(when_full=WhenFull.SHED))
    memory = PoolMemory(health={B: OUT})
    applied = (Server(A), Server(B, 20, down=True, max_conns=3), Server(C), Server(D))
    snapshot = shot(START_S, dict.fromkeys(FOUR, seen(admitted=9.0)))
    assert make_target(snapshot, spec=spec, memory=memory, applied=applied).servers[1] == applied[1]


def test_a_drained_backend_is_down() -> None:
    """Whoever is taken out on request is down, and the others serve."""
    made = make_target(shot(START_S), spec=pool_of(drained=frozenset({B})))
    assert out(made) == {B}
    assert reasons(made)[B] == BackendReason.DRAINED


def test_when_all_are_drained_all_serve() -> None:
    """A drain that would leave nobody is not done."""
    made = make_target(shot(START_S), spec=pool_of(drained=frozenset(FOUR)))
    assert out(made) == set()
    assert set(reasons(made).values()) == {BackendReason.PANIC}
    assert made.reasons[A][1] == "drained, but no other backend would be left"


def test_an_ill_backend_is_down_with_its_illness_as_reason() -> None:
    """An ejected backend is down, and its reason says why and for how long at least."""
    sick = replace(OUT, until_s=START_S + 60)
    made = make_target(
        shot(START_S, {**dict.fromkeys(FOUR, seen()), C: seen(failed_rate=5.0)}),
        memory=PoolMemory(health={C: sick}),
    )
    assert out(made) == {C}
    assert made.reasons[C] == (
        BackendReason.EJECTED_FAILING,
        "failed_rate 5, finished_rate 1, out for 60 s more at least",
    )


def test_a_well_backend_returns_before_ill_ones_have_to_serve() -> None:
    """Panic lets those back in first that only sit out their hold."""
    waiting = replace(OUT, symptom=None, until_s=START_S + 30)
    memory = PoolMemory(health={A: waiting, B: waiting, C: OUT})
    applied = [Server(A, down=True), Server(B, down=True), Server(C), Server(D)]
    made = make_target(shot(START_S), memory=memory, applied=applied)
    assert out(made) == {C}


def test_a_hold_spent_serving_is_not_begun_later() -> None:
    """Whoever had to serve in panic and is well by now is not taken out for the rest of a hold."""
    waiting = replace(OUT, symptom=None, until_s=START_S + 30)
    memory = PoolMemory(health={A: waiting})
    serving = make_target(shot(START_S), memory=memory, applied=[Server(each) for each in FOUR])
    assert out(serving) == set()
    applied = [Server(A, down=True), Server(B), Server(C), Server(D)]
    assert out(make_target(shot(START_S), memory=memory, applied=applied)) == {A}


def test_a_server_that_is_out_keeps_its_weight() -> None:
    """The weight of a server that is down is no reason for a new file."""
    applied = [Server(A), Server(B), Server(C, 30, down=True), Server(D)]
    made = make_target(shot(START_S), memory=PoolMemory(health={C: OUT}), applied=applied)
    assert made.servers[2] == Server(C, 30, down=True)


@pytest.mark.parametrize(
    ("ill", "threshold", "panic"),
    [
        (5, 0.5, False),
        (6, 0.5, True),
        (9, 0.1, False),
        (10, 0.1, True),
        (9, 0.0, False),
        (10, 0.0, True),
        (1, 1.0, True),
        (3, 0.7, False),
        (4, 0.7, True),
    ],
)
def test_past_the_panic_threshold_all_serve(ill: int, threshold: float, *, panic: bool) -> None:
    """Ejections that would leave less than the threshold, or nobody, are ignored, all of them."""
    made = make_target(
        shot(START_S, dict.fromkeys(TEN, seen())),
        spec=pool_of(TEN),
        memory=PoolMemory(health=dict.fromkeys(TEN[:ill], OUT)),
        limits=Limits(panic_threshold=threshold),
    )
    assert out(made) == (set() if panic else set(TEN[:ill]))
    expected = BackendReason.PANIC if panic else BackendReason.EJECTED_FAILING
    assert {reasons(made)[address] for address in TEN[:ill]} == {expected}


def test_the_edge_of_the_panic_threshold_is_exact() -> None:
    """Exactly the threshold of healthy backends is enough, also where floats are not exact."""
    names = [f"10.0.3.{number}:80" for number in range(25)]
    made = make_target(
        shot(START_S, dict.fromkeys(names, seen())),
        spec=pool_of(names),
        memory=PoolMemory(health=dict.fromkeys(names[7:], OUT)),
        limits=Limits(panic_threshold=0.28),
    )
    assert len(out(made)) == 18


def test_panic_tells_how_many_are_ill() -> None:
    """The sentence of a panic has the illness and the numbers."""
    made = make_target(shot(START_S), memory=PoolMemory(health=dict.fromkeys((A, B, C), OUT)))
    assert made.reasons[A] == (BackendReason.PANIC, "ejected_failing, but 3 of 4 are ill")
    assert reasons(made)[D] == BackendReason.POLICY


def test_the_panic_threshold_counts_those_that_are_not_drained() -> None:
    """Drained backends neither serve nor count: one ill of two others is half, two are panic."""
    spec = pool_of(drained=frozenset({A, B}))
    one = make_target(shot(START_S), spec=spec, memory=PoolMemory(health={C: OUT}))
    two = make_target(shot(START_S), spec=spec, memory=PoolMemory(health={C: OUT, D: OUT}))
    assert (out(one), out(two)) == ({A, B, C}, {A, B})


def test_a_backend_that_is_drained_and_ill_is_drained() -> None:
    """The request of a person is the reason, and such a backend makes no panic."""
    spec = pool_of([A, B], drained=frozenset({A}))
    snapshot = shot(START_S, {A: seen(), B: seen()})
    made = make_target(snapshot, spec=spec, memory=PoolMemory(health={A: OUT}))
    assert out(made) == {A}
    assert reasons(made)[A] == BackendReason.DRAINED


def test_an_unresolved_name_is_left_out() -> None:
    """A backend without an address has a reason but no line."""
    made = make_target(shot(START_S), unresolved=frozenset({B}))
    assert set(weights(made)) == {A, C, D}
    assert reasons(made)[B] == BackendReason.UNRESOLVED


def test_when_only_drained_backends_resolve_they_serve() -> None:
    """A drained backend comes back when no other backend has a line at all."""
    spec = pool_of([A, B], drained=frozenset({A}))
    snapshot = shot(START_S, {A: seen(), B: seen()})
    made = make_target(snapshot, spec=spec, unresolved=frozenset({B}))
    assert made.servers == (Server(A),)


def test_an_unresolved_backend_that_is_ill_does_not_count() -> None:
    """The panic threshold is taken of the backends that have a line."""
    made = make_target(
        shot(START_S), memory=PoolMemory(health={A: OUT, B: OUT}), unresolved=frozenset({A})
    )
    assert out(made) == {B}


APPLIED = (Server(A, 100), Server(B, 20, max_conns=3), Server(C, 60, down=True), Server(D, 50))


def test_a_blind_pool_keeps_what_is_confirmed() -> None:
    """Blind, the confirmed lines stay as they are, down ones and limits included."""
    memory = PoolMemory(weights=dict.fromkeys(FOUR, 77.0), health={A: OUT})
    made = make_target(blind(START_S), memory=memory, applied=APPLIED)
    assert made.servers == APPLIED
    assert set(made.reasons.values()) == {(BackendReason.HELD_BLIND, "connection refused")}


def test_in_a_blind_pool_each_backend_has_its_own_reason() -> None:
    """Too little coverage holds usable backends too, and says of the others what they lack."""
    snapshot = shot(START_S, {A: seen(), B: faulty(SampleFault.NAN)})
    made = make_target(snapshot, applied=APPLIED)
    assert made.servers == APPLIED
    assert reasons(made) == {
        A: BackendReason.HELD_BLIND,
        B: BackendReason.HELD_NAN,
        C: BackendReason.HELD_MISSING,
        D: BackendReason.HELD_MISSING,
    }


def test_a_blind_pool_takes_newcomers_at_their_last_weight_or_the_median() -> None:
    """A member that is not in the file gets its remembered weight, or the median of the file."""
    memory = PoolMemory(weights={C: 33.0})
    made = make_target(blind(START_S), memory=memory, applied=(Server(A, 10), Server(B, 20)))
    assert weights(made) == {A: 10, B: 20, C: 33, D: 15}


def test_a_blind_pool_without_a_file_has_the_remembered_weights() -> None:
    """When Nginx serves nothing known, the remembered weights are better than none."""
    memory = PoolMemory(weights={A: 10.0, B: 30.0, C: 90.0})
    assert weights(make_target(blind(START_S), memory=memory)) == {A: 10, B: 30, C: 90, D: 30}


def test_a_blind_pool_without_any_past_is_neutral() -> None:
    """Before anything was learned, all get the policy's neutral weight."""
    assert weights(make_target(blind(START_S))) == dict.fromkeys(FOUR, 40)


def test_a_drain_is_obeyed_by_the_blind() -> None:
    """A request of a person needs no Prometheus."""
    made = make_target(blind(START_S), applied=APPLIED, spec=pool_of(drained=frozenset({A})))
    assert out(made) == {A, C}


@pytest.mark.parametrize(("blind_s", "neutral"), [(599.0, False), (600.0, False), (601.0, True)])
def test_the_hold_of_a_blind_pool_ends(blind_s: float, *, neutral: bool) -> None:
    """After the hold all serve at the neutral weight under their limits, who was out is back."""
    memory = PoolMemory(blind_since_s=START_S - blind_s, health={C: OUT})
    made = make_target(blind(START_S), memory=memory, applied=APPLIED)
    if neutral:
        limits = {B: 3}
        assert made.servers == tuple(Server(a, 40, max_conns=limits.get(a)) for a in FOUR)
        assert made.reasons[A] == (
            BackendReason.NEUTRAL,
            "blind for 601 s: the learned neutral weight",
        )
    else:
        assert made.servers == APPLIED


def test_drained_backends_stay_out_when_all_is_neutral() -> None:
    """The neutral weights end ejections, not drains."""
    memory = PoolMemory(blind_since_s=START_S - 601)
    spec = pool_of(drained=frozenset({B}))
    assert out(make_target(blind(START_S), memory=memory, spec=spec, applied=APPLIED)) == {B}


def test_lines_are_sorted() -> None:
    """The order of the configuration does not matter."""
    made = make_target(shot(START_S), spec=pool_of([D, B, A, C]))
    assert [server.address for server in made.servers] == [A, B, C, D]


def test_a_new_backend_enters_at_the_median_at_most() -> None:
    """A backend that Nginx did not serve yet gets the pool's median, whatever the policy wants."""
    wished = {A: seen(20), B: seen(40), C: seen(60), D: seen(100)}
    made = make_target(shot(START_S, wished), applied=[Server(A), Server(B), Server(C)])
    assert weights(made) == {A: 20, B: 40, C: 60, D: 40}
    assert reasons(made)[D] == BackendReason.ENTERING
    settled = make_target(
        shot(START_S, wished), applied=[Server(A), Server(B), Server(C), Server(D, 40)]
    )
    assert weights(settled)[D] == 100


def test_a_slow_newcomer_is_not_lifted_to_the_median() -> None:
    """The median is a ceiling for newcomers, not a floor."""
    wished = {A: seen(80), B: seen(80), C: seen(80), D: seen(10)}
    made = make_target(shot(START_S, wished), applied=[Server(A), Server(B), Server(C)])
    assert weights(made)[D] == 10


@pytest.mark.parametrize(("returned_s", "weight"), [(START_S, 50), (START_S - 59.9, 50)])
def test_a_returned_backend_enters_at_the_median_at_most(returned_s: float, weight: int) -> None:
    """Until the next change of weights a backend that was ejected gets the median at most."""
    wished = {A: seen(50), B: seen(50), C: seen(50), D: seen(100)}
    memory = PoolMemory(health={D: HealthMemory(hold_s=60, returned_s=returned_s)})
    made = make_target(
        shot(START_S, wished), memory=memory, applied=[Server(each) for each in FOUR]
    )
    assert weights(made)[D] == weight
    memory = PoolMemory(health={D: HealthMemory(hold_s=60, returned_s=START_S - 60)})
    made = make_target(
        shot(START_S, wished), memory=memory, applied=[Server(each) for each in FOUR]
    )
    assert weights(made)[D] == 100
