"""What distinguishes one simulated engine from another: limits, KV size and the cost of a step."""

from __future__ import annotations

from dataclasses import dataclass, fields

# vLLM keeps one block of the pool as the shared "null block"; it is counted in num_gpu_blocks but
# never handed out, so that usage 1.0 means num_gpu_blocks - 1 blocks in use.
RESERVED_BLOCKS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParameters:
    """Limits and step-time coefficients of one engine at speed 1.

    A step that computes P prompt tokens, for a batch of B sequences whose decoding members hold
    K tokens of context, lasts

        a + b * P + c * B + d * K   seconds, divided by the speed of the engine.

    Attributes:
        max_num_batched_tokens: most tokens, of prompts and answers together, in one step.
        max_num_seqs: most sequences in the running batch.
        max_model_len: longest prompt plus answer, in tokens.
        num_gpu_blocks: KV blocks, the reserved one included, as in vLLM's cache_config_info.
        block_size: tokens per KV block.
        step_base_s: a, the cost of reading the weights once and of launching the step.
        step_per_prompt_token_s: b, the arithmetic of one prompt token.
        step_per_sequence_s: c, the host's work for one sequence (schedule, sample, detokenise).
        step_per_context_token_s: d, reading the KV entries of one token of context.
    """

    max_num_batched_tokens: int
    max_num_seqs: int
    max_model_len: int
    num_gpu_blocks: int
    step_base_s: float
    step_per_prompt_token_s: float = 0.0
    step_per_sequence_s: float = 0.0
    step_per_context_token_s: float = 0.0
    block_size: int = 16

    def __post_init__(self) -> None:
        """Refuse parameters no engine can have.

        Raises:
            ValueError: listing every parameter out of range.
        """
        faults = [
            f"{field.name}: want an integer >= 1"
            for field in fields(self)
            if field.type == "int" and getattr(self, field.name) < 1
        ]
        if self.num_gpu_blocks <= RESERVED_BLOCKS:
            faults.append(f"num_gpu_blocks: want more than the {RESERVED_BLOCKS} reserved")
        if self.max_num_batched_tokens < self.max_num_seqs:
            faults.append("max_num_batched_tokens: want >= max_num_seqs, one token for each")
        if not self.step_base_s > 0:
            faults.append("step_base_s: want > 0, or virtual time stands still")
        faults += [
            f"{field.name}: want >= 0"
            for field in fields(self)
            if field.name.startswith("step_per_") and not getattr(self, field.name) >= 0
        ]
        if faults:
            raise ValueError("; ".join(faults))

    def step_s(self, prompt_tokens: int, batch: int, context_tokens: int) -> float:
        """Return how long a step lasts at speed 1, in seconds."""
        return (
            self.step_base_s
            + self.step_per_prompt_token_s * prompt_tokens
            + self.step_per_sequence_s * batch
            + self.step_per_context_token_s * context_tokens
        )
