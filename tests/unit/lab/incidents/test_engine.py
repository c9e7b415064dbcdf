"""The engine of the world of incidents."""

import random

import pytest

from lab.incidents.engine import Engine, Hardware, Request

HARDWARE = Hardware(0.02, 50, kv_tokens=10_000, sequences=8, prefill_rate=10_000)


def request(output: int = 100, prompt: int = 200) -> Request:
    """A request that arrives at 0."""
    return Request("llm", 0.0, prompt, 0, output, left=output)


def engine(*requests: Request, hardware: Hardware = HARDWARE) -> Engine:
    """An engine with requests in its queue."""
    made = Engine(hardware, random.Random(1))  # noqa: S311 - chance of a simulation
    made.queue.extend(requests)
    return made


def run(made: Engine, seconds: int) -> list[Request]:
    """What is finished after some seconds."""
    return [one for second in range(seconds) for one in made.advance(float(second)).finished]


def test_a_sequence_takes_as_many_steps_as_it_has_tokens() -> None:
    """100 tokens at 20 ms and a fiftieth per sequence take about two seconds."""
    (done,) = run(engine(request()), 4)
    assert done.finished_s == pytest.approx(2.04, abs=0.15)


def test_an_engine_that_is_done_holds_nothing() -> None:
    """Whatever was admitted, preempted or dropped, an idle engine's cache is empty."""
    small = Hardware(0.02, 50, kv_tokens=1500, sequences=8, prefill_rate=10_000)
    requests = [request(output=300) for _ in range(8)]
    made = engine(*requests, hardware=small)
    made.advance(0.0)
    made.drop(made.running[0])
    done = run(made, 120)
    assert len(done) == 7
    assert sum(one.preemptions for one in done) > 0
    assert made.kv_usage == pytest.approx(0, abs=1e-9)


def test_a_full_cache_keeps_requests_waiting() -> None:
    """What does not fit waits; the cache is never more than full."""
    made = engine(*(request(prompt=3000) for _ in range(5)))
    made.advance(0.0)
    assert (made.sequences, len(made.queue)) == (3, 2)
    assert made.kv_usage <= 1


def test_a_throttled_engine_is_as_much_slower() -> None:
    """Twice the length of a step is half the tokens."""
    fast, slow = engine(request(1000)), engine(request(1000))
    slow.slow = 2.0
    tokens = [sum(one.advance(float(s)).tokens for s in range(3)) for one in (fast, slow)]
    assert tokens[1] == pytest.approx(tokens[0] / 2, rel=0.03)


def test_a_frozen_engine_makes_no_step() -> None:
    """Requests stay where they are."""
    made = engine(request())
    made.frozen = True
    assert not run(made, 10)
    assert len(made.queue) == 1
