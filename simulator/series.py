"""The catalogue of vLLM's series: names, labels and bucket bounds, as vLLM 0.32 exposes them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SUB_SECOND_TO_HOURS: Final = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
FIRST_TOKEN_BOUNDS: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
INTER_TOKEN_BOUNDS: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0),
)
ITERATION_BOUNDS: Final = (1, 8, *(2**power for power in range(4, 15)))
PREEMPTION_BOUNDS: Final = (1, 2, 3, 4, 5, 10, 20)
N_BOUNDS: Final = (1, 2, 5, 10, 20)


def token_bounds(max_model_len: int) -> tuple[int, ...]:
    """Return 1, 2, 5, 10, 20, 50, ... up to the context length, as vLLM bounds token counts."""
    bounds = [
        mantissa * 10**power for power in range(len(str(max_model_len))) for mantissa in (1, 2, 5)
    ]
    return tuple(bound for bound in bounds if bound <= max_model_len)


# Counters of what this engine does not have (a multimodal cache, a KV connector, a flop count):
# they exist and stay at 0, as on a real server that does not use them.
IDLE_COUNTERS: Final = (
    "vllm:estimated_flops_per_gpu",
    "vllm:estimated_read_bytes_per_gpu",
    "vllm:estimated_write_bytes_per_gpu",
    "vllm:external_prefix_cache_hits",
    "vllm:external_prefix_cache_queries",
    "vllm:mm_cache_hits",
    "vllm:mm_cache_queries",
    "vllm:prefix_cache_hits",
    "vllm:prompt_tokens_cached",
)
PROMPT_SOURCES: Final = ("local_compute", "local_cache_hit", "external_kv_transfer")
CACHE_TIERS: Final = ("device", "host", "p2p", "disk", "external_unspecified")
FINISHED_REASONS: Final = ("stop", "length", "abort", "error", "repetition")
REJECTION_REASONS: Final = ("max_num_queued_reqs", "max_num_queued_tokens")
WAITING_REASONS: Final = ("capacity", "deferred")
SLEEP_STATES: Final = ("awake", "weights_offloaded", "discard_all")

# Labels of vllm:cache_config_info that follow from the engine's parameters.
CACHE_CONFIG_COMPUTED: Final = (
    "block_size",
    "effective_attention_block_size",
    "num_gpu_blocks",
    "num_gpu_blocks_override",
    "kv_cache_size_tokens",
    "kv_cache_max_concurrency",
)
# The others say nothing about this engine, and stand at vLLM's defaults.
CACHE_CONFIG_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "_block_size_resolved": "True",
        "cache_dtype": "auto",
        "cache_hit_alignment_tokens": "None",
        "enable_mamba_shared_prefix_checkpoint": "False",
        "enable_prefix_caching": "False",
        "gpu_memory_utilization": "0.92",
        "hash_block_size": "None",
        "is_attention_free": "False",
        "kv_cache_dtype_skip_layers": "[]",
        "kv_cache_layout": "None",
        "kv_cache_memory_bytes": "None",
        "kv_offloading_backend": "native",
        "kv_offloading_size": "None",
        "kv_sharing_fast_prefill": "False",
        "mamba_block_size": "None",
        "mamba_cache_dtype": "auto",
        "mamba_cache_mode": "none",
        "mamba_page_size_padded": "None",
        "mamba_ssm_cache_dtype": "float32",
        "num_cpu_blocks": "None",
        "prefix_cache_retention_interval": "0",
        "prefix_caching_hash_algo": "sha256",
        "prefix_match_unit": "None",
        "replayssm_buffer_len": "16",
        "skip_page_size_padded": "None",
        "sliding_window": "None",
        "swa_bounded_replay": "True",
        "use_kda_recoverssm": "False",
        "use_replayssm": "False",
        "user_specified_block_size": "False",
    }
)
