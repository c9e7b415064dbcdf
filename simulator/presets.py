"""Ready-made engines: three GPUs with an 8-billion-parameter model, and the laboratory's one.

The GPU figures are derived, not fitted. With W bytes of weights, n parameters, k bytes of KV per
token, and a GPU of `bandwidth` bytes/s and `arithmetic` FLOP/s (data sheet, dense bfloat16):

    a = W / (0.8 * bandwidth)          every step reads all weights once
    b = 2 n / (0.5 * arithmetic)       a multiply and an add per parameter and prompt token
    d = k / (0.8 * bandwidth)          every decoded token reads the sequence's whole KV
    blocks = (0.9 * memory - W - workspace) / (16 k)

The sum a + b P overstates a step in which weights are read while prompts are computed, by at
most a; decoding steps, which are nearly all steps, are not touched by that.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from simulator.parameters import EngineParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETERS: Final = 8.03e9  # Llama 3.1 8B
_WEIGHT_BYTES: Final = 2 * _PARAMETERS  # bfloat16
# Keys and values of 32 layers, 8 KV heads of 128 elements, 2 bytes each: 128 KiB.
_KV_BYTES_PER_TOKEN: Final = 2 * 32 * 8 * 128 * 2
_BLOCK_SIZE: Final = 16
# Streaming reads reach about 80 % of the data sheet's bandwidth on all three.
_BANDWIDTH_REACHED: Final = 0.8
# Large prefill matrices reach about half of the data sheet's arithmetic.
_ARITHMETIC_REACHED: Final = 0.5
# vLLM's gpu_memory_utilization default of the time these figures were drawn up.
_MEMORY_USED: Final = 0.9
# Activations of the largest batch, CUDA graphs and the context.
_WORKSPACE_BYTES: Final = 2e9
# Scheduling, sampling and detokenising are Python on the host: some 20 us per sequence.
_HOST_PER_SEQUENCE_S: Final = 20e-6


def _gpu(
    *, memory_bytes: float, bandwidth: float, arithmetic: float, max_num_batched_tokens: int
) -> EngineParameters:
    """Derive the parameters of one GPU from its data sheet (bytes, bytes/s, FLOP/s)."""
    reached_bandwidth = _BANDWIDTH_REACHED * bandwidth
    kv_bytes = _MEMORY_USED * memory_bytes - _WEIGHT_BYTES - _WORKSPACE_BYTES
    return EngineParameters(
        max_num_batched_tokens=max_num_batched_tokens,
        max_num_seqs=256,
        max_model_len=8192,
        num_gpu_blocks=int(kv_bytes / (_BLOCK_SIZE * _KV_BYTES_PER_TOKEN)),
        block_size=_BLOCK_SIZE,
        step_base_s=_WEIGHT_BYTES / reached_bandwidth,
        step_per_prompt_token_s=2 * _PARAMETERS / (_ARITHMETIC_REACHED * arithmetic),
        step_per_sequence_s=_HOST_PER_SEQUENCE_S,
        step_per_context_token_s=_KV_BYTES_PER_TOKEN / reached_bandwidth,
    )


# A100 SXM 80 GB: a = 9.8 ms, b = 0.10 ms, d = 0.080 us, 25,710 blocks.
A100: Final = _gpu(
    memory_bytes=80e9, bandwidth=2.039e12, arithmetic=312e12, max_num_batched_tokens=2048
)
# H100 SXM 80 GB: a = 6.0 ms, b = 0.032 ms, d = 0.049 us, and the same blocks. vLLM gives it
# larger batches by default.
H100: Final = _gpu(
    memory_bytes=80e9, bandwidth=3.35e12, arithmetic=989e12, max_num_batched_tokens=8192
)
# L4 24 GB: a = 67 ms, b = 0.27 ms, d = 0.55 us, 1,690 blocks: starved of KV beside the others.
L4: Final = _gpu(memory_bytes=24e9, bandwidth=300e9, arithmetic=121e12, max_num_batched_tokens=2048)
# The engine of the measurements on real vLLM: 20 ms + 0.5 ms per sequence, at most 16 sequences,
# and 8,176 tokens of KV. Slow enough that many of them fit on two cores.
LAB: Final = EngineParameters(
    max_num_batched_tokens=1024,
    max_num_seqs=16,
    max_model_len=1024,
    num_gpu_blocks=512,
    block_size=_BLOCK_SIZE,
    step_base_s=20e-3,
    step_per_sequence_s=0.5e-3,
)

PRESETS: Final[Mapping[str, EngineParameters]] = MappingProxyType(
    {"a100": A100, "h100": H100, "l4": L4, "lab": LAB}
)
