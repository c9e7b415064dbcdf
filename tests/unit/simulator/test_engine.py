"""What one engine step does, in exact numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.engine import Engine, EngineParameters, Request, RequestRefusedError
from simulator.presets import A100, H100, L4, LAB, PRESETS

from .engines import SMALL, request, run_until_idle, small_engine


def test_idle_step_does_nothing() -> None:
    """A step without work lasts no time and emits nothing."""
    result = small_engine().step(3.0)
    assert (result.duration_s, result.ended_s) == (0.0, 3.0)
    assert (result.emitted, result.batch, result.scheduled_tokens) == ((), 0, 0)


def test_step_time_of_prefill() -> None:
    """A step that prefills lasts a + b * prompt tokens + c * sequences."""
    engine = small_engine()
    engine.add(request("one", 10, 2))
    engine.add(request("two", 20, 2))
    result = engine.step(0.0)
    assert result.prompt_tokens == 30
    assert result.duration_s == pytest.approx(0.5 + 0.01 * 30 + 0.25 * 2)


def test_step_time_of_decode() -> None:
    """A step that decodes lasts a + c * sequences + d * tokens of context."""
    engine = small_engine()
    engine.add(request("one", 10, 3))
    engine.add(request("two", 20, 3))
    engine.step(0.0)
    result = engine.step(1.0)
    assert result.prompt_tokens == 0
    assert result.duration_s == pytest.approx(0.5 + 0.25 * 2 + 0.001 * (10 + 20))


@pytest.mark.parametrize("batch", [1, 2, 7, 16])
def test_step_line_of_the_laboratory(batch: int) -> None:
    """A batch of n decodes in 20 ms + 0.5 ms * n, and so does each gap between its tokens."""
    engine = Engine(LAB)
    for index in range(batch):
        engine.add(request(f"r{index}", 30, 20))
    decodes = run_until_idle(engine)[1:]
    line_s = 20e-3 + 0.5e-3 * batch
    assert [step.duration_s for step in decodes] == pytest.approx([line_s] * 19)
    assert [gap for step in decodes for gap in step.inter_token_s] == pytest.approx(
        [line_s] * 19 * batch
    )


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0])
def test_speed_divides_step_time(speed: float) -> None:
    """An engine of speed s takes 1 / s of the time, and changes nothing else."""
    engines = [Engine(SMALL), Engine(SMALL, speed=speed)]
    for engine in engines:
        for index in range(6):
            engine.add(request(f"r{index}", 20 + index, 30))
    plain, scaled = (run_until_idle(engine) for engine in engines)
    assert [step.emitted for step in plain] == [step.emitted for step in scaled]
    assert plain[-1].ended_s / scaled[-1].ended_s == pytest.approx(speed)


def test_speed_changes_while_running() -> None:
    """A new speed holds from the next step on."""
    engine = Engine(LAB)
    engine.add(request("one", 10, 10))
    before = engine.step(0.0).duration_s
    engine.speed = 0.25
    assert engine.step(1.0).duration_s == pytest.approx(4 * before)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_senseless_speed_is_refused(speed: float) -> None:
    """A speed that is not finite and positive is an error, and the old one stays."""
    engine = Engine(LAB)
    with pytest.raises(ValueError, match="speed"):
        engine.speed = speed
    assert engine.speed == 1.0


def test_life_of_a_request() -> None:
    """The first token comes with the prompt's step, the others one per step, and times add up."""
    engine = small_engine(step_per_prompt_token_s=0.0, step_per_context_token_s=0.0)
    engine.add(request("one", 10, 3, arrival_s=1.0))
    first, second, third = run_until_idle(engine, start_s=2.0)
    assert [r.id for r in first.first_tokens] == ["one"]
    assert (first.inter_token_s, second.inter_token_s, third.inter_token_s) == (
        (),
        (0.75,),
        (0.75,),
    )
    assert second.finished == ()
    (finished,) = third.finished
    assert (finished.scheduled_s, finished.first_token_s, finished.finished_s) == (2.0, 2.75, 4.25)
    assert finished.preemptions == 0


def test_long_prompt_is_prefilled_in_chunks() -> None:
    """A prompt above the token budget takes several steps, and its token comes with the last."""
    engine = small_engine()
    engine.add(request("long", 150, 1))
    results = run_until_idle(engine)
    assert [step.scheduled_tokens for step in results] == [64, 64, 22]
    assert [step.emitted for step in results] == [(), (), ("long",)]


def test_decodes_go_before_prompts() -> None:
    """A long prompt gets what the decodes leave of the budget, and never delays their tokens."""
    engine = small_engine()
    engine.add(request("short", 10, 10))
    engine.step(0.0)
    engine.add(request("long", 150, 1))
    results = [engine.step(float(index)) for index in (1, 2, 3)]
    assert [step.prompt_tokens for step in results] == [63, 63, 24]
    assert [step.emitted for step in results] == [("short",), ("short",), ("short", "long")]


def test_batch_is_limited() -> None:
    """More requests than places wait, and enter in the order they came."""
    engine = small_engine(max_num_seqs=2)
    for name in ("one", "two", "three"):
        engine.add(request(name, 4, 2))
    assert (engine.step(0.0).running, engine.num_waiting) == (2, 1)
    assert engine.step(1.0).finished != ()
    assert engine.step(2.0).emitted == ("three",)


def test_queue_head_waits_for_its_whole_prompt() -> None:
    """A request enters when its whole prompt fits, and none behind it overtakes."""
    engine = small_engine(num_gpu_blocks=5)
    engine.add(request("first", 40, 2))
    engine.add(request("second", 30, 2))
    engine.add(request("third", 1, 2))
    assert engine.step(0.0).emitted == ("first",)
    assert engine.num_waiting == 2


def test_kv_usage_leaves_out_the_reserved_block() -> None:
    """Sixteen blocks of 64 are 16/63 of the cache, as in the capture of four running requests."""
    engine = small_engine(
        block_size=128, num_gpu_blocks=64, max_num_batched_tokens=4096, max_model_len=1024
    )
    for index in range(4):
        engine.add(request(f"r{index}", 400, 100))
    assert engine.step(0.0).kv_usage == 0.25396825396825395


def test_preemption_takes_the_last_and_keeps_its_tokens() -> None:
    """Out of blocks, the last admitted one goes back, is computed anew, and goes on counting."""
    engine = small_engine(num_gpu_blocks=5)
    engine.add(request("old", 30, 20))
    engine.add(request("new", 30, 20))
    steps = [engine.step(0.0)]
    while not steps[-1].preempted:
        steps.append(engine.step(steps[-1].ended_s))
    assert steps[-1].preempted == ("new",)
    assert steps[-1].emitted == ("old",)
    emitted_before = sum(step.emitted.count("new") for step in steps)
    progress = engine.progress("new")
    assert (progress.running, progress.stored_tokens, progress.blocks) == (False, 0, 0)
    assert (progress.generated_tokens, progress.preemptions) == (emitted_before, 1)
    rest = run_until_idle(engine, steps[-1].ended_s)
    again = next(step for step in rest if "new" in step.emitted)
    assert again.prompt_tokens == 30 + emitted_before
    assert sum(step.emitted.count("new") for step in rest) == 20 - emitted_before
    assert [len(step.first_tokens) for step in rest] == [0] * len(rest)
    (finished,) = rest[-1].finished
    assert (finished.preemptions, finished.scheduled_s) == (1, 0.0)


def test_preempted_request_goes_to_the_front() -> None:
    """A preempted request comes before those that waited already."""
    engine = small_engine(num_gpu_blocks=5)
    engine.add(request("old", 30, 20))
    engine.add(request("new", 30, 20))
    engine.step(0.0)
    engine.add(request("waiting", 1, 1))
    results = run_until_idle(engine)
    preempted_at = next(index for index, step in enumerate(results) if step.preempted)
    after = [name for step in results[preempted_at + 1 :] for name in step.emitted]
    assert all("waiting" not in step.emitted for step in results[: preempted_at + 1])
    assert after.index("new") < after.index("waiting")


def test_abort_frees_a_running_request() -> None:
    """An aborted running request gives back its place and its blocks at once."""
    engine = small_engine(max_num_seqs=1)
    engine.add(request("one", 40, 10))
    engine.add(request("two", 4, 1))
    engine.step(0.0)
    assert engine.abort("one")
    assert (engine.num_running, engine.kv_usage) == (0, 0.0)
    assert engine.step(1.0).emitted == ("two",)


def test_abort_removes_a_waiting_request() -> None:
    """An aborted waiting request never runs."""
    engine = small_engine()
    engine.add(request("one", 40, 10))
    assert engine.abort("one")
    assert not engine.has_work


def test_abort_of_nobody() -> None:
    """Aborting an id that is not in the engine says so and changes nothing."""
    assert not small_engine().abort("nobody")


def test_smaller_cache_preempts() -> None:
    """When the cache shrinks, the last admitted ones go back until the rest fits."""
    engine = small_engine()
    for name in ("one", "two", "three"):
        engine.add(request(name, 20, 40))
    engine.step(0.0)
    resized = engine.set_num_gpu_blocks(5)
    assert (resized.preempted, resized.refused) == (("three",), ())
    assert (engine.num_running, engine.num_waiting, engine.kv_usage) == (2, 1, 1.0)
    finished = [f.request.id for step in run_until_idle(engine) for f in step.finished]
    assert sorted(finished) == ["one", "three", "two"]


def test_smaller_cache_refuses_what_can_never_fit() -> None:
    """A live request too long for the smaller cache is dropped and named; the others go on."""
    engine = small_engine()
    engine.add(request("long", 100, 100))
    engine.add(request("short", 10, 10))
    engine.step(0.0)
    assert engine.set_num_gpu_blocks(5).refused == ("long",)
    assert [f.request.id for step in run_until_idle(engine) for f in step.finished] == ["short"]


def test_larger_cache_admits_more() -> None:
    """Blocks that are added serve the queue at the next step."""
    engine = small_engine(num_gpu_blocks=3)
    engine.add(request("one", 30, 2))
    engine.add(request("two", 30, 2))
    assert engine.step(0.0).running == 1
    engine.set_num_gpu_blocks(9)
    assert engine.num_gpu_blocks == 9
    assert "two" in engine.step(1.0).emitted


def test_cache_cannot_vanish() -> None:
    """A cache with only the reserved block is refused."""
    with pytest.raises(ValueError, match="num_gpu_blocks"):
        small_engine().set_num_gpu_blocks(1)


def test_preempt_all_loses_the_cache_but_no_token() -> None:
    """When the KV cache is lost, all go back in order, and end with all their tokens."""
    engine = small_engine()
    for name in ("one", "two"):
        engine.add(request(name, 20, 5))
    engine.step(0.0)
    assert engine.preempt_all() == ("two", "one")
    assert (engine.num_running, engine.num_waiting, engine.kv_usage) == (0, 2, 0.0)
    results = run_until_idle(engine)
    assert results[0].emitted == ("one", "two")
    assert sum(len(step.emitted) for step in results) == 8


@pytest.mark.parametrize(
    ("prompt", "output", "message"),
    [(200, 57, "needs 257 tokens, the model's context is 256"), (100, 60, "KV cache holds 128")],
)
def test_impossible_request_is_refused(prompt: int, output: int, message: str) -> None:
    """A request longer than the context or the whole cache is refused with its length."""
    engine = small_engine(num_gpu_blocks=9)
    with pytest.raises(RequestRefusedError, match=message):
        engine.add(request("long", prompt, output))
    assert not engine.has_work


def test_longest_request_is_served() -> None:
    """A request that fills the whole cache runs to its end, alone."""
    engine = small_engine(max_model_len=256, num_gpu_blocks=17)
    engine.add(request("long", 100, 156))
    assert len(run_until_idle(engine)[-1].finished) == 1


def test_request_id_is_unique() -> None:
    """Two live requests cannot share an id; one may follow the other."""
    engine = small_engine()
    engine.add(request("one", 1, 1))
    with pytest.raises(ValueError, match="already"):
        engine.add(request("one", 1, 1))
    run_until_idle(engine)
    engine.add(request("one", 1, 1))
    assert engine.num_waiting == 1


@pytest.mark.parametrize(("prompt", "output"), [(0, 1), (1, 0), (-1, 5)])
def test_empty_request_cannot_be_made(prompt: int, output: int) -> None:
    """A request has at least one token of prompt and one of answer."""
    with pytest.raises(ValueError, match="at least one"):
        Request("empty", prompt, output, 0.0)


def test_parameters_list_all_faults() -> None:
    """Parameters that no engine can have are refused, every fault named."""
    with pytest.raises(ValueError, match=r"max_num_seqs.*num_gpu_blocks.*step_base_s.*sequence_s"):
        replace(SMALL, max_num_seqs=0, num_gpu_blocks=1, step_base_s=0.0, step_per_sequence_s=-1.0)


def test_budget_below_batch_is_refused() -> None:
    """A budget that cannot give each sequence its token is refused, as vLLM does."""
    with pytest.raises(ValueError, match="max_num_batched_tokens"):
        replace(SMALL, max_num_batched_tokens=3)


def decode_rate(parameters: EngineParameters, batch: int, context: int) -> float:
    """Return tokens per second of a batch at the context length given."""
    return batch / parameters.step_s(0, batch, batch * context)


def test_presets_are_ordered_as_their_gpus() -> None:
    """At every batch an H100 decodes and prefills faster than an A100, and that than an L4."""
    for batch in (1, 16, 128):
        rates = [decode_rate(gpu, batch, 500) for gpu in (H100, A100, L4)]
        assert rates == sorted(rates, reverse=True)
    prefill = [gpu.step_s(2000, 1, 0) for gpu in (H100, A100, L4)]
    assert prefill == sorted(prefill)


def test_presets_match_known_magnitudes() -> None:
    """An 8B model in bfloat16 decodes one stream at about 100 tokens/s on an A100, 15 on an L4."""
    assert decode_rate(A100, 1, 500) == pytest.approx(100, rel=0.1)
    assert decode_rate(H100, 1, 500) == pytest.approx(165, rel=0.1)
    assert decode_rate(L4, 1, 500) == pytest.approx(15, rel=0.1)
    assert set(PRESETS) == {"a100", "h100", "l4", "lab"}
