"""Engines and loops that the tests of this package share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simulator.engine import Engine, EngineParameters, Request

if TYPE_CHECKING:
    from simulator.engine import StepResult

SMALL = EngineParameters(
    max_num_batched_tokens=64,
    max_num_seqs=4,
    max_model_len=256,
    num_gpu_blocks=17,
    step_base_s=0.5,
    step_per_prompt_token_s=0.01,
    step_per_sequence_s=0.25,
    step_per_context_token_s=0.001,
)
"""Coefficients whose sums are exact enough to compare; 16 blocks of 16 tokens to hand out."""


def small_engine(**changes: Any) -> Engine:  # noqa: ANN401  # any field of the parameters
    """Return an engine with the small parameters, changed."""
    return Engine(replace(SMALL, **changes))


def request(name: str, prompt: int, output: int, arrival_s: float = 0.0) -> Request:
    """Return a request with its lengths in tokens."""
    return Request(name, prompt, output, arrival_s)


def run_until_idle(engine: Engine, start_s: float = 0.0) -> list[StepResult]:
    """Step without pause until nothing is left; return every step."""
    results: list[StepResult] = []
    now_s = start_s
    while engine.has_work:
        results.append(engine.step(now_s))
        now_s = results[-1].ended_s
        assert len(results) < 100_000, "the engine does not come to an end"
    return results
