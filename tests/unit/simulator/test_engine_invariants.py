"""What holds for any parameters, any requests and any interference."""

from __future__ import annotations

import itertools
from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from simulator.engine import Engine, EngineParameters, Request, RequestRefusedError

from .engines import run_until_idle


@st.composite
def parameters(draw: st.DrawFn) -> EngineParameters:
    """Draw small engines, in which blocks, places and budget all run out."""
    seqs = draw(st.integers(1, 6))
    return EngineParameters(
        max_num_seqs=seqs,
        max_num_batched_tokens=draw(st.integers(seqs, 80)),
        max_model_len=200,
        num_gpu_blocks=draw(st.integers(3, 20)),
        block_size=draw(st.sampled_from([1, 4, 16])),
        step_base_s=0.02,
        step_per_sequence_s=0.001,
        step_per_context_token_s=1e-6,
    )


LENGTHS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=150)
@given(parameters=parameters(), lengths=LENGTHS)
def test_every_admitted_request_ends_with_its_tokens(
    parameters: EngineParameters, lengths: list[tuple[int, int]]
) -> None:
    """Whatever is preempted, each request gets exactly its tokens, and is admitted in its turn."""
    engine = Engine(parameters)
    admitted: dict[str, Request] = {}
    for index, (prompt, output) in enumerate(lengths):
        request = Request(f"r{index}", prompt, output, 0.0)
        try:
            engine.add(request)
        except RequestRefusedError:
            continue
        admitted[request.id] = request
    results = run_until_idle(engine)
    emitted = Counter(name for step in results for name in step.emitted)
    assert emitted == {name: request.output_tokens for name, request in admitted.items()}
    assert Counter(r.id for step in results for r in step.first_tokens) == Counter(admitted.keys())
    finished = {f.request.id: f for step in results for f in step.finished}
    assert finished.keys() == admitted.keys()
    starts = [finished[name].scheduled_s for name in admitted]
    assert starts == sorted(starts)
    preempted = Counter(name for step in results for name in step.preempted)
    assert preempted == {n: f.preemptions for n, f in finished.items() if f.preemptions}
    assert (engine.kv_usage, engine.num_running, engine.num_waiting) == (0.0, 0, 0)


class EngineUnderInterference(RuleBasedStateMachine):
    """An engine to which anything may happen between two steps."""

    PARAMETERS = EngineParameters(
        max_num_batched_tokens=48,
        max_num_seqs=5,
        max_model_len=160,
        num_gpu_blocks=12,
        step_base_s=0.02,
        step_per_sequence_s=0.001,
    )

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(self.PARAMETERS)
        self.now_s = 0.0
        self.numbers = itertools.count()
        self.left: dict[str, int] = {}
        """Tokens still owed to each live request."""

    @rule(prompt=st.integers(1, 120), output=st.integers(1, 40))
    def add(self, prompt: int, output: int) -> None:
        """A request arrives; it is refused exactly when it can never fit."""
        request = Request(f"r{next(self.numbers)}", prompt, output, self.now_s)
        room = min(160, (self.engine.num_gpu_blocks - 1) * 16)
        if prompt + output > room:
            with pytest.raises(RequestRefusedError):
                self.engine.add(request)
        else:
            self.engine.add(request)
            self.left[request.id] = output

    @rule()
    def step(self) -> None:
        """A step keeps to every limit, and gives each request at most one of the tokens owed."""
        had_work = self.engine.has_work
        result = self.engine.step(self.now_s)
        self.now_s = result.ended_s
        assert result.scheduled_tokens <= 48
        assert result.batch <= 5
        assert (result.batch > 0) == had_work
        assert len(set(result.emitted)) == len(result.emitted)
        for name in result.emitted:
            self.left[name] -= 1
        done = {name for name, left in self.left.items() if left == 0}
        assert {finished.request.id for finished in result.finished} == done
        for name in done:
            del self.left[name]

    @precondition(lambda self: self.left)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        """A client leaves."""
        name = data.draw(st.sampled_from(sorted(self.left)))
        assert self.engine.abort(name)
        del self.left[name]

    @rule(num_gpu_blocks=st.integers(2, 20))
    def resize(self, num_gpu_blocks: int) -> None:
        """The cache changes size; what can never fit any more is named."""
        for name in self.engine.set_num_gpu_blocks(num_gpu_blocks).refused:
            del self.left[name]

    @rule()
    def lose_cache(self) -> None:
        """The engine goes to sleep and loses its cache."""
        self.engine.preempt_all()

    @invariant()
    def blocks_are_conserved(self) -> None:
        """The blocks in use are those of the running requests, each just enough for its tokens."""
        progress = [self.engine.progress(name) for name in self.left]
        capacity = self.engine.num_gpu_blocks - 1
        used = sum(p.blocks for p in progress)
        assert self.engine.kv_usage == used / capacity
        assert used <= capacity
        for p in progress:
            assert p.blocks == -(-p.stored_tokens // 16)
            assert p.running == (p.blocks > 0)

    @invariant()
    def nobody_is_lost(self) -> None:
        """Every live request either runs or waits."""
        running = sum(self.engine.progress(name).running for name in self.left)
        assert running == self.engine.num_running
        assert len(self.left) == self.engine.num_running + self.engine.num_waiting

    def teardown(self) -> None:
        """Left alone, the engine gives everyone the rest."""
        for result in run_until_idle(self.engine, self.now_s):
            for name in result.emitted:
                self.left[name] -= 1
        assert not any(self.left.values())


EngineUnderInterference.TestCase.settings = settings(
    deadline=None, max_examples=60, stateful_step_count=40
)
TestEngineUnderInterference = EngineUnderInterference.TestCase
