"""A whole tick decided: what is applied, what is held, and why."""

from dataclasses import replace

import pytest

from controller.core.decide import Action, Situation, decide, members_of, names_of
from controller.core.errors import ActuationError, ActuationFault
from controller.core.memory import Memory
from controller.core.model import NginxView, PoolSnapshot, Snapshot
from controller.core.outcome import adopted, failed
from controller.core.reasons import BackendReason, PoolReason
from controller.core.render import UpstreamOptions, WhenFull, parse
from controller.core.settings import HealthSettings, Limits
from controller.core.stabilise import CHANGES

from .worlds import (
    FOUR,
    START_S,
    A,
    B,
    C,
    D,
    World,
    asleep,
    blind,
    lines,
    out,
    pool_of,
    seen,
    shot,
    stalled,
    unscraped,
    weights,
    why,
)

NAME = "vllm-0.prod.svc:8000"


def settled(**rest: object) -> World:
    """A world in which a first tick was confirmed long ago."""
    world = World(**rest)  # type: ignore[arg-type]  # by name, from the tests
    world.tick(shot(START_S - 1000))
    return world


def test_the_first_tick_writes_the_file() -> None:
    """As long as Nginx serves nothing known, the first decision is applied."""
    decision = World().tick(shot(START_S))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.FIRST)
    assert weights(decision) == dict.fromkeys(FOUR, 100)


def test_a_first_tick_that_is_blind_writes_neutral_weights() -> None:
    """A configured pool can serve before Prometheus has said anything."""
    decision = World().tick(blind(START_S))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.FIRST)
    assert weights(decision) == dict.fromkeys(FOUR, 40)
    assert decision.pools["llm"].blind == PoolReason.BLIND_SOURCE


def test_a_discovered_pool_without_any_answer_waits() -> None:
    """Nobody is known yet, so nothing is written and the reason is the blindness."""
    decision = World([pool_of(None)]).tick(blind(START_S))
    assert (decision.action, decision.reason) == (Action.HOLD, PoolReason.BLIND_SOURCE)


def test_an_unchanged_pool_is_held() -> None:
    """The same weights again are no reload."""
    decision = settled().tick(shot(START_S))
    assert (decision.action, decision.reason) == (Action.HOLD, PoolReason.UNCHANGED)


def test_a_change_within_the_dead_band_is_held() -> None:
    """What stays is the confirmed file, and what was wanted is told."""
    world = settled()
    decision = world.tick(shot(START_S, dict.fromkeys(FOUR, seen()) | {A: seen(70)}))
    assert (decision.action, decision.reason) == (Action.HOLD, PoolReason.WITHIN_DEADBAND)
    assert decision.detail == f"largest change x1.42 ({A})"
    assert decision.rendered.generation == world.served
    assert weights(decision)[A] == 70


def test_a_change_beyond_the_dead_band_is_applied() -> None:
    """Weights that differ enough are written once the last reload is long ago."""
    decision = settled().tick(shot(START_S, dict.fromkeys(FOUR, seen()) | {A: seen(50)}))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.WEIGHTS)


def test_weights_wait_for_their_interval() -> None:
    """A weight that changes soon after a reload waits, an ejection only for the fast interval."""
    world = settled()
    halved = dict.fromkeys(FOUR, seen()) | {A: seen(50)}
    world.tick(shot(START_S, halved))
    decision = world.tick(shot(START_S + 59))
    assert (decision.action, decision.reason) == (Action.HOLD, PoolReason.MIN_INTERVAL)
    assert world.tick(shot(START_S + 60)).action == Action.APPLY
    sleepy = shot(START_S + 69, dict.fromkeys(FOUR, seen()) | {B: asleep()})
    assert world.tick(sleepy).reason == PoolReason.MIN_INTERVAL
    decision = world.tick(replace(sleepy, at_s=START_S + 70))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.EJECTION)
    assert out(decision) == {B}


def test_a_clock_that_was_set_back_holds_nothing() -> None:
    """When the last reload lies in the future, it is not waited for."""
    world = settled()
    halved = dict.fromkeys(FOUR, seen()) | {A: seen(50)}
    assert world.tick(shot(START_S - 90_000, halved)).action == Action.APPLY


def test_lingering_workers_hold_a_reload() -> None:
    """While too many old workers finish streams, weights wait."""
    world = settled()
    world.lingering = 17
    decision = world.tick(shot(START_S, dict.fromkeys(FOUR, seen()) | {A: seen(50)}))
    assert (decision.action, decision.reason) == (Action.HOLD, PoolReason.LINGERING)


def test_an_ill_backend_goes_out_and_returns() -> None:
    """Two ticks with a symptom take a backend out; when its hold is over, it is put back."""
    world = settled()
    ill = dict.fromkeys(FOUR, seen()) | {C: stalled()}
    assert world.tick(shot(START_S, ill)).reason == PoolReason.UNCHANGED
    decision = world.tick(shot(START_S + 10, ill))
    assert (decision.action, out(decision)) == (Action.APPLY, {C})
    assert why(decision, C) == BackendReason.EJECTED_STALLED
    assert out(world.tick(shot(START_S + 69))) == {C}
    decision = world.tick(shot(START_S + 70))
    assert (decision.reason, decision.detail) == (PoolReason.EJECTION, f"{C} back")


def test_a_failed_scrape_is_left_to_nginx() -> None:
    """A backend that Prometheus cannot reach stays in at its weight for as long as it lasts."""
    world = settled()
    gone = dict.fromkeys(FOUR, seen()) | {A: unscraped()}
    for tick in range(200):
        decision = world.tick(shot(START_S + 10 * tick, gone))
        assert (decision.action, why(decision, A)) == (Action.HOLD, "held_scrape_failed")


@pytest.mark.parametrize("sight", ["error", "warnings", "empty"])
def test_a_blind_pool_is_held(sight: str) -> None:
    """Whatever kind of blindness it is, the confirmed file stays, and who is out stays out."""
    world = settled()
    ill = dict.fromkeys(FOUR, seen()) | {C: asleep(), A: seen(10)}
    before = world.tick(shot(START_S, ill))
    snapshots = {
        "error": blind(START_S + 600),
        "warnings": shot(START_S + 600, warnings=("partial",)),
        "empty": shot(START_S + 600, {}),
    }
    decision = world.tick(snapshots[sight])
    assert decision.action == Action.HOLD
    assert decision.reason == decision.pools["llm"].blind
    assert decision.rendered == before.rendered
    assert lines(decision) == lines(before)


def test_a_blind_pool_becomes_neutral_after_its_hold() -> None:
    """Blind for longer than the hold, old weights and ejections are given up."""
    world = settled()
    world.tick(shot(START_S, dict.fromkeys(FOUR, seen()) | {C: asleep(), A: seen(10)}))
    world.tick(blind(START_S + 100))
    assert world.tick(blind(START_S + 700)).action == Action.HOLD
    decision = world.tick(blind(START_S + 701))
    assert (decision.action, weights(decision)) == (Action.APPLY, dict.fromkeys(FOUR, 40))
    assert out(decision) == set()
    assert why(decision, A) == BackendReason.NEUTRAL


def test_sight_ends_the_count_of_blindness() -> None:
    """One fit snapshot in between starts the hold anew."""
    world = settled()
    world.tick(blind(START_S))
    world.tick(shot(START_S + 599))
    world.tick(blind(START_S + 601))
    assert world.tick(blind(START_S + 1200)).action == Action.HOLD
    assert world.memory.pools["llm"].blind_since_s == START_S + 601


def test_a_blind_tick_teaches_nothing() -> None:
    """Neither policy, weights nor health learn from a snapshot that is not fit."""
    world = settled()
    before = world.memory.pools["llm"]
    world.tick(shot(START_S, dict.fromkeys(FOUR, stalled(5)), warnings=("partial",)))
    assert world.memory.pools["llm"] == replace(before, blind_since_s=START_S)


def test_decide_never_says_that_something_was_applied() -> None:
    """Only a confirmation advances what counts as applied."""
    world = settled()
    applied = world.memory.applied
    decision = world.decide(shot(START_S, dict.fromkeys(FOUR, seen()) | {A: seen(10)}))
    assert decision.action == Action.APPLY
    assert world.memory.applied == applied


def test_an_unconfirmed_change_is_tried_again() -> None:
    """When the reload was not confirmed, the next tick wants it again."""
    world = settled()
    snapshot = shot(START_S, dict.fromkeys(FOUR, seen()) | {A: seen(10)})
    world.decide(snapshot)
    assert world.decide(replace(snapshot, at_s=START_S + 10)).action == Action.APPLY


def test_drift_is_repaired() -> None:
    """When Nginx serves another generation than the confirmed one, the file is written again."""
    world = settled()
    world.served = "f" * 16
    decision = world.tick(shot(START_S))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.DRIFT)
    assert decision.detail.startswith("Nginx serves ffffffffffffffff, confirmed was ")
    assert world.tick(shot(START_S + 10)).action == Action.HOLD


def test_drift_is_repaired_blindly() -> None:
    """What was confirmed can be written again without Prometheus."""
    world = settled()
    before = world.served
    world.served = "f" * 16
    assert world.tick(blind(START_S)).reason == PoolReason.DRIFT
    assert world.served == before


def test_an_unreachable_nginx_is_waited_for() -> None:
    """While Nginx does not answer, what is wanted stays wanted and is not pushed."""
    world = settled()
    world.served = None
    wanted = dict.fromkeys(FOUR, seen()) | {A: seen(10)}
    decision = world.tick(shot(START_S, wanted))
    assert (decision.action, decision.reason) == (Action.HOLD, PoolReason.NGINX_UNREACHABLE)
    assert decision.detail == "refused"


def test_an_unreachable_nginx_is_no_trouble_when_nothing_is_wanted() -> None:
    """Without a change the reason is that of the pools."""
    world = settled()
    world.served = None
    assert world.tick(shot(START_S)).reason == PoolReason.UNCHANGED


def test_changed_options_are_applied() -> None:
    """Settings of the upstream take effect though its servers are the same, also when blind."""
    world = settled()
    world.specs = [pool_of(options=UpstreamOptions(keepalive=9))]
    decision = world.tick(blind(START_S))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.OPTIONS)
    assert "keepalive 9;" in decision.rendered.text
    assert world.tick(blind(START_S + 10)).action == Action.HOLD


FULL = dict.fromkeys(FOUR, seen(waiting=9.0))


@pytest.mark.parametrize("after", WhenFull)
@pytest.mark.parametrize("before", WhenFull)
@pytest.mark.parametrize("remembers", [True, False])
def test_another_use_of_slots_is_a_change_of_options(
    before: WhenFull, after: WhenFull, *, remembers: bool
) -> None:
    """It is applied once, also after a restart; the same use again changes nothing."""
    world = World([pool_of(options=UpstreamOptions(when_full=before))])
    text = world.tick(shot(START_S, FULL)).rendered.text
    if not remembers:
        world.memory = adopted(Memory(), NginxView(world.served), text)
    world.specs = [pool_of(options=UpstreamOptions(when_full=after))]
    decision = world.tick(shot(START_S + 10, FULL))
    if after == before:
        assert (decision.action, decision.rendered.text) == (Action.HOLD, text)
    elif before == WhenFull.IGNORE:
        # There is a limit where there was none: a change of the servers themselves.
        assert decision.pools["llm"].reason in CHANGES - {PoolReason.OPTIONS}
    else:
        assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.OPTIONS)
        assert ("backup" in decision.rendered.text) == (after == WhenFull.SPILL)
        assert ("max_conns=9" in decision.rendered.text) == (after != WhenFull.IGNORE)
        assert world.tick(shot(START_S + 20, FULL)).action == Action.HOLD


def test_limits_that_are_no_longer_wanted_are_not_held() -> None:
    """A blind pool keeps its weights, and the limits only as long as they are wanted."""
    world = World([pool_of()])
    world.tick(shot(START_S, FULL))
    assert {server.max_conns for server in lines(world.tick(blind(START_S + 10))).values()} == {9}
    world.specs = [pool_of(options=UpstreamOptions(when_full=WhenFull.IGNORE))]
    decision = world.tick(blind(START_S + 20))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.OPTIONS)
    assert {server.max_conns for server in lines(decision).values()} == {None}


def test_a_removed_pool_is_written_out() -> None:
    """A pool that left the configuration leaves the file, and its memory."""
    world = World([pool_of(), pool_of([A], name="old")])
    both = {"llm": PoolSnapshot(dict.fromkeys(FOUR, seen())), "old": PoolSnapshot({A: seen()})}
    world.tick(Snapshot(START_S, both))
    world.specs = world.specs[:1]
    decision = world.tick(shot(START_S + 100))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.OPTIONS)
    assert "upstream old" not in decision.rendered.text
    assert world.memory.pools.keys() == {"llm"}


def refuse(world: World, at_s: float, limits: Limits) -> None:
    """Let Nginx refuse what is wanted at this time."""
    decision = world.decide(shot(at_s, dict.fromkeys(FOUR, seen()) | {A: seen(10)}))
    assert decision.action == Action.APPLY
    error = ActuationError(ActuationFault.REJECTED, "host not found")
    world.memory = failed(world.memory, decision, error, at_s, limits)


def test_a_refused_file_is_quarantined() -> None:
    """The very file that Nginx refused is not tried again before its quarantine is over."""
    world, limits = settled(), Limits(quarantine_s=60)
    refuse(world, START_S, limits)
    snapshot = shot(START_S + 59, dict.fromkeys(FOUR, seen()) | {A: seen(10)})
    decision = world.decide(snapshot)
    assert (decision.action, decision.reason) == (Action.HOLD, PoolReason.QUARANTINED)
    assert decision.detail == "for 1 s more: host not found"
    assert world.decide(replace(snapshot, at_s=START_S + 60)).action == Action.APPLY


def test_another_file_is_not_quarantined() -> None:
    """A quarantine holds one generation and no other."""
    world = settled()
    refuse(world, START_S, Limits())
    decision = world.tick(shot(START_S + 1, dict.fromkeys(FOUR, seen()) | {A: seen(20)}))
    assert decision.action == Action.APPLY


def test_members_come_with_the_configuration() -> None:
    """A backend that was added is written at once, blind or not."""
    world = settled(specs=[pool_of([A, B])])
    world.specs = [pool_of([A, B, C])]
    decision = world.tick(blind(START_S))
    assert (decision.reason, decision.detail) == (PoolReason.MEMBERS, f"+{C}")


def test_discovered_members_come_and_leave() -> None:
    """A new target joins at once; an absent one leaves when its time to be forgotten is over."""
    world = World([pool_of(None)], Limits(forget_after_s=30))
    assert set(lines(world.tick(shot(START_S, {A: seen(), B: seen()})))) == {A, B}
    decision = world.tick(shot(START_S + 10, {A: seen(), C: seen()}))
    assert (decision.reason, decision.detail) == (PoolReason.MEMBERS, f"+{C}")
    assert why(decision, B) == BackendReason.HELD_MISSING
    assert set(lines(world.tick(shot(START_S + 30, {A: seen(), C: seen()})))) == {A, B, C}
    decision = world.tick(shot(START_S + 31, {A: seen(), C: seen()}))
    assert (decision.reason, decision.detail) == (PoolReason.MEMBERS, f"-{B}")
    assert B not in world.memory.pools["llm"].weights
    assert B not in world.memory.pools["llm"].policy


@pytest.mark.parametrize("sight", ["error", "warnings", "empty", "no pool"])
def test_blindness_is_no_absence(sight: str) -> None:
    """After hours of blindness, whoever is not scraped at once still has its time to come back."""
    world = World([pool_of(None)], Limits(forget_after_s=30, blind_hold_s=1e9))
    world.tick(shot(START_S))
    later_s = START_S + 7200
    snapshots = {
        "error": blind(later_s),
        "warnings": shot(later_s, {A: seen()}, warnings=("partial",)),
        "empty": shot(later_s, {}),
        "no pool": Snapshot(later_s),
    }
    assert world.tick(snapshots[sight]).action == Action.HOLD
    decision = world.tick(shot(later_s + 10, {A: seen(), B: seen()}))
    assert set(lines(decision)) == set(FOUR)
    assert decision.action == Action.HOLD
    decision = world.tick(shot(later_s + 41, {A: seen(), B: seen()}))
    assert set(lines(decision)) == {A, B}


@pytest.mark.parametrize("sight", ["error", "warnings", "empty", "one"])
def test_a_restart_without_memory_empties_no_discovered_pool(sight: str) -> None:
    """Whoever Nginx serves is a member until Prometheus has had its time to say otherwise."""
    world = World([pool_of(None)])
    text = world.tick(shot(START_S)).rendered.text
    world.memory = adopted(Memory(), NginxView(world.served), text)
    snapshots = {
        "error": blind(START_S + 10),
        "warnings": shot(START_S + 10, {A: seen()}, warnings=("partial",)),
        "empty": shot(START_S + 10, {}),
        "one": shot(START_S + 10, {A: seen()}),
    }
    decision = world.tick(snapshots[sight])
    assert (decision.action, set(lines(decision))) == (Action.HOLD, set(FOUR))


def test_a_clock_that_was_set_back_forgets_nobody_present() -> None:
    """Whoever is in Prometheus is a member, whatever the clock says of the others."""
    world = World([pool_of(None)], Limits(forget_after_s=30))
    world.tick(shot(START_S, {A: seen(), B: seen()}))
    assert set(lines(world.tick(shot(START_S - 9000, {A: seen()})))) == {A, B}
    assert set(lines(world.tick(shot(START_S - 8960, {A: seen()})))) == {A}


def test_configured_members_are_sorted() -> None:
    """The order of the configuration does not matter."""
    snapshot = shot(START_S)
    assert members_of(pool_of([D, A, C]), snapshot, Memory(), Limits()) == [A, C, D]


def test_of_several_pools_one_may_be_blind() -> None:
    """A blind pool keeps its lines while the file is written anew for another one."""
    world = World([pool_of([A, B]), pool_of([C, D], name="other")])
    world.tick(
        Snapshot(
            START_S,
            {
                "llm": PoolSnapshot({A: seen(), B: seen(50)}),
                "other": PoolSnapshot({C: seen(), D: seen(10)}),
            },
        )
    )
    decision = world.tick(Snapshot(START_S + 100, {"llm": PoolSnapshot({A: seen(), B: seen(5)})}))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.WEIGHTS)
    assert weights(decision) == {A: 100, B: 5}
    assert decision.pools["other"].reason == PoolReason.BLIND_EMPTY
    assert weights(decision, "other") == {C: 100, D: 10}


def test_small_changes_ride_along() -> None:
    """When the file is written anyway, changes within the dead-band go with it."""
    world = World([pool_of([A, B]), pool_of([C, D], name="other")])
    pools = {
        "llm": PoolSnapshot({A: seen(), B: seen()}),
        "other": PoolSnapshot({C: seen(), D: seen()}),
    }
    world.tick(Snapshot(START_S, pools))
    pools = {
        "llm": PoolSnapshot({A: seen(), B: seen(10)}),
        "other": PoolSnapshot({C: seen(), D: seen(90)}),
    }
    decision = world.tick(Snapshot(START_S + 100, pools))
    assert decision.pools["other"].reason == PoolReason.WITHIN_DEADBAND
    found = parse(decision.rendered.text)
    assert found is not None
    assert [server.weight for server in found.pools["other"]] == [100, 90]
    assert world.tick(Snapshot(START_S + 200, pools)).reason == PoolReason.UNCHANGED


def test_the_most_urgent_reason_settles_a_tick() -> None:
    """When several pools want the file for different reasons, the first in order is told."""
    world = World([pool_of([A, B]), pool_of([C, D], name="other")])
    pools = {
        "llm": PoolSnapshot({A: seen(), B: seen()}),
        "other": PoolSnapshot({C: seen(), D: seen()}),
    }
    world.tick(Snapshot(START_S, pools))
    pools = {
        "llm": PoolSnapshot({A: seen(), B: seen(10)}),
        "other": PoolSnapshot({C: seen(), D: asleep()}),
    }
    decision = world.tick(Snapshot(START_S + 10, pools))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.EJECTION)


def test_names_are_rendered_as_addresses() -> None:
    """A backend with a name stands in the file with the address behind it."""
    world = World([pool_of([NAME, A])], endpoints={NAME: "10.7.0.1:8000"})
    decision = world.tick(shot(START_S, {NAME: seen(), A: seen()}))
    assert f"server 10.7.0.1:8000 weight=100 max_fails=2 fail_timeout=30s; # {NAME}" in (
        decision.rendered.text
    )
    assert world.tick(shot(START_S + 10, {NAME: seen(), A: seen()})).action == Action.HOLD


def test_a_moved_name_is_written_anew() -> None:
    """A name with another address changes the file, within the fast interval, blind or not."""
    world = World([pool_of([NAME, A])], endpoints={NAME: "10.7.0.1:8000"})
    world.tick(shot(START_S, {NAME: seen(), A: seen()}))
    world.endpoints = {NAME: "10.7.0.2:8000"}
    decision = world.tick(blind(START_S + 10))
    assert (decision.action, decision.reason) == (Action.APPLY, PoolReason.MEMBERS)
    assert decision.detail == "a name has another address"
    assert "10.7.0.2:8000" in decision.rendered.text


def test_a_name_that_never_resolved_is_left_out() -> None:
    """Nginx would refuse a file with such a name, so its backend waits outside."""
    world = World([pool_of([NAME, A])])
    decision = world.tick(shot(START_S, {NAME: seen(), A: seen()}))
    assert set(lines(decision)) == {A}
    assert why(decision, NAME) == BackendReason.UNRESOLVED
    world.endpoints = {NAME: "10.7.0.1:8000"}
    decision = world.tick(shot(START_S + 10, {NAME: seen(), A: seen()}))
    assert decision.detail == f"+{NAME}"


@pytest.mark.parametrize("remembers", [True, False])
def test_losing_the_name_server_empties_no_pool(*, remembers: bool) -> None:
    """A name that does not resolve now keeps its confirmed address, also after a restart."""
    world = World([pool_of([NAME])], endpoints={NAME: "10.7.0.1:8000"})
    text = world.tick(shot(START_S, {NAME: seen()})).rendered.text
    if not remembers:
        world.memory = adopted(Memory(), NginxView(world.served), text)
    world.endpoints = {}
    decision = world.tick(shot(START_S + 10, {NAME: seen()}))
    assert decision.action == Action.HOLD
    assert decision.rendered.text == text
    assert why(decision, NAME) == BackendReason.POLICY


def test_only_names_have_to_be_looked_up() -> None:
    """IP addresses need no resolver."""
    assert names_of([A, NAME, "[::1]:80"]) == [NAME]


def test_a_pool_that_outgrows_its_zone_is_still_written() -> None:
    """A configured zone that became too small never stops the controller."""
    world = World([pool_of(None, options=UpstreamOptions(zone_kib=256))])
    many = {f"10.8.{n // 250}.{n % 250}:80": seen() for n in range(300)}
    decision = world.tick(shot(START_S, many))
    assert decision.action == Action.APPLY
    assert "zone llm 512k;" in decision.rendered.text


def test_ejections_can_be_switched_off() -> None:
    """Without health checks even a sleeping backend serves."""
    world = settled(specs=[pool_of(health=HealthSettings(enabled=False))])
    decision = world.tick(shot(START_S, dict.fromkeys(FOUR, seen()) | {A: asleep()}))
    assert (decision.action, out(decision)) == (Action.HOLD, set())


def test_a_tick_can_be_replayed() -> None:
    """The same situation gives the same decision and the same memory."""
    world = settled()
    now = Situation(
        world.specs,
        world.limits,
        shot(START_S, dict.fromkeys(FOUR, seen()) | {A: seen(10)}),
        world.memory,
        NginxView(world.served),
        {},
    )
    assert decide(now) == decide(now)
