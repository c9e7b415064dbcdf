"""What an apply does to the memory, and what is taken over from Nginx at start."""

import pytest

from controller.core.decide import Decision
from controller.core.errors import ActuationError, ActuationFault
from controller.core.memory import Applied, Memory, PoolMemory, Unconfirmed
from controller.core.model import NginxView, Server
from controller.core.outcome import adopted, confirmed, failed
from controller.core.render import Upstream, render
from controller.core.settings import Limits

from .worlds import START_S, A, B, World, pool_of, seen, shot

NAME = "vllm-0.prod.svc:8000"
LIMITS = Limits(quarantine_s=60, quarantine_max_s=200)
REJECTED = ActuationError(ActuationFault.REJECTED, "no such host")


def a_decision() -> tuple[Decision, Memory]:
    """A first decision about a pool with a name and an address, and the memory after it."""
    world = World([pool_of([NAME, A])], endpoints={NAME: "10.7.0.1:8000", "gone:1": "10.7.0.9:1"})
    decision = world.decide(shot(START_S, {NAME: seen(), A: seen(50)}))
    return decision, world.memory


def test_a_confirmation_is_what_everything_is_compared_with() -> None:
    """Generation, time, servers and the endpoints of these servers count as applied."""
    decision, memory = a_decision()
    after = confirmed(memory, decision, START_S + 1)
    assert after.applied == Applied(
        decision.rendered.generation,
        START_S + 1,
        {"llm": (Server(A, 50), Server(NAME))},
        {NAME: "10.7.0.1:8000"},
    )
    assert after.pools == memory.pools


def test_a_confirmation_ends_a_quarantine() -> None:
    """Once a file is live, an older refusal says nothing any more."""
    decision, memory = a_decision()
    memory = failed(memory, decision, REJECTED, START_S, LIMITS)
    assert confirmed(memory, decision, START_S).quarantine is None


def test_unconfirmed_reloads_are_counted() -> None:
    """Each reload that Nginx did not confirm counts, until one is confirmed."""
    decision, memory = a_decision()
    error = ActuationError(ActuationFault.UNCONFIRMED, "still the old one")
    memory = failed(memory, decision, error, START_S, LIMITS)
    memory = failed(memory, decision, error, START_S + 10, LIMITS)
    assert memory.unconfirmed == Unconfirmed(START_S + 10, failures=2)
    assert confirmed(memory, decision, START_S + 30).unconfirmed is None


@pytest.mark.parametrize("fault", [ActuationFault.UNREACHABLE, ActuationFault.UNSAFE])
def test_other_failures_change_nothing(fault: ActuationFault) -> None:
    """What did not reach Nginx is tried again at the next tick, with the memory as it was."""
    decision, memory = a_decision()
    error = ActuationError(fault, "later")
    assert failed(memory, decision, error, START_S, LIMITS) == memory


def test_a_refusal_is_remembered_and_its_hold_doubles() -> None:
    """Each refusal of the same file doubles its quarantine, up to the maximum."""
    decision, memory = a_decision()
    holds = []
    for _ in range(4):
        memory = failed(memory, decision, REJECTED, START_S, LIMITS)
        assert memory.quarantine is not None
        assert memory.quarantine.generation == decision.rendered.generation
        assert memory.quarantine.until_s == START_S + memory.quarantine.hold_s
        assert memory.quarantine.detail == "no such host"
        holds.append(memory.quarantine.hold_s)
    assert holds == [60, 120, 200, 200]
    assert memory.applied is None


def test_the_refusal_of_another_file_starts_anew() -> None:
    """The hold doubles for the same generation only."""
    decision, memory = a_decision()
    memory = failed(memory, decision, REJECTED, START_S, LIMITS)
    other = World([pool_of([B])]).decide(shot(START_S, {B: seen()}))
    memory = failed(memory, other, REJECTED, START_S, LIMITS)
    assert memory.quarantine is not None
    assert memory.quarantine.generation == other.rendered.generation
    assert memory.quarantine.hold_s == 60


FILE = render(
    [Upstream("llm", [Server(NAME, 50), Server(A, down=True)]), Upstream("empty", [])],
    {NAME: "10.7.0.1:8000"},
)
SERVES_FILE = NginxView(FILE.generation)
OLD = Applied("0" * 16, START_S, {"llm": (Server(B),)})
REMEMBERED = {"llm": PoolMemory(weights={A: 5.0})}


def test_what_nginx_serves_is_adopted() -> None:
    """A file of ours that is served becomes the applied one, its time unknown."""
    after = adopted(Memory(REMEMBERED, OLD), SERVES_FILE, FILE.text)
    assert after == Memory(
        REMEMBERED,
        Applied(
            FILE.generation,
            None,
            {"llm": (Server(A, down=True), Server(NAME, 50)), "empty": ()},
            {NAME: "10.7.0.1:8000"},
        ),
    )


def test_a_memory_that_fits_is_kept() -> None:
    """When Nginx serves what is remembered, the memory knows more than the file."""
    memory = Memory(applied=Applied(FILE.generation, START_S, {"llm": (Server(B),)}))
    assert adopted(memory, SERVES_FILE, FILE.text) is memory


def test_an_unreachable_nginx_changes_nothing() -> None:
    """What cannot be asked is not taken for something else."""
    memory = Memory(REMEMBERED, OLD)
    assert adopted(memory, NginxView(None), FILE.text) is memory


@pytest.mark.parametrize(
    ("served", "text"),
    [
        (FILE.generation, None),
        (FILE.generation, "upstream llm { server 10.0.0.1:80; }\n"),
        (FILE.generation, FILE.text.replace("weight=50", "weight=51")),
        (FILE.generation, ""),
        ("f" * 16, FILE.text),
        ("f" * 16, None),
    ],
    ids=["absent", "foreign", "edited", "empty", "another is served", "nothing known"],
)
def test_what_is_not_certain_is_applied_anew(served: str, text: str | None) -> None:
    """When the file and what is served differ, or it is not ours, nothing counts as applied."""
    after = adopted(Memory(REMEMBERED, OLD), NginxView(served), text)
    assert after == Memory(REMEMBERED, None)


def test_after_an_adoption_nothing_is_reloaded() -> None:
    """A restart in front of an unchanged world ends in a held first tick."""
    world = World([pool_of([NAME, A])], endpoints={NAME: "10.7.0.1:8000"})
    snapshot = shot(START_S, {NAME: seen(), A: seen(50)})
    text = world.tick(snapshot).rendered.text
    world.memory = adopted(Memory(), NginxView(world.served), text)
    world.tick(snapshot)
    assert len(world.reloads) == 1
