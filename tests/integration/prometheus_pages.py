"""What the scraped targets of the Prometheus tests publish, by job and target."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

CAPTURES = Path(__file__).parents[1] / "fixtures" / "captures"
# Samples of the stale target carry this age; Prometheus looks back five minutes.
STALE_S = 120.0

Page = Callable[[float], str]
"""Seconds since the start to an exposition."""

OLD_VLLM = """
vllm:num_requests_running{model_name="tiny"} 3
vllm:num_requests_waiting{model_name="tiny"} 1
vllm:gpu_cache_usage_perc{model_name="tiny"} 0.4
vllm:num_preemptions_total{model_name="tiny"} 2
"""
BOTH_KV_NAMES = OLD_VLLM + 'vllm:kv_cache_usage_perc{model_name="tiny"} 0.6\n'
NOT_FINITE = """
vllm:num_requests_running{model_name="tiny"} 3
vllm:num_requests_waiting{model_name="tiny"} NaN
vllm:kv_cache_usage_perc{model_name="tiny"} +Inf
"""
HALF_ASLEEP = """
vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="awake"} 1
vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="discard_all"} 0
vllm:engine_sleep_state{engine="1",model_name="tiny",sleep_state="awake"} 0
vllm:engine_sleep_state{engine="1",model_name="tiny",sleep_state="discard_all"} 1
vllm:num_requests_running{engine="0",model_name="tiny"} 2
vllm:num_requests_running{engine="0",model_name="other"} 40
"""


def vllm_growing(seconds: float) -> str:
    """Two data-parallel engines whose counters grow at known rates."""
    lines = []
    for engine in "01":
        labels = f'engine="{engine}",model_name="tiny"'
        lines += [
            f"vllm:num_requests_running{{{labels}}} 4",
            f"vllm:prompt_tokens_total{{{labels}}} {50 * seconds}",
            f"vllm:generation_tokens_total{{{labels}}} {100 * seconds}",
            f"vllm:num_preemptions_total{{{labels}}} {0.5 * seconds}",
            f"vllm:inter_token_latency_seconds_sum{{{labels}}} {2 * seconds}",
            f"vllm:inter_token_latency_seconds_count{{{labels}}} {80 * seconds}",
            f"vllm:iteration_tokens_total_count{{{labels}}} {20 * seconds}",
        ]
    for reason, per_second in {"stop": 3, "length": 2, "abort": 7, "error": 1}.items():
        labels = f'engine="0",model_name="tiny",finished_reason="{reason}"'
        lines.append(f"vllm:request_success_total{{{labels}}} {per_second * seconds}")
    for handler, status, per_second in (
        ("/v1/completions", "2xx", 6),
        ("/v1/completions", "5xx", 3),
        ("/v1/chat/completions", "500", 1),
        ("/v1/completions", "4xx", 11),
        ("/health", "5xx", 13),
    ):
        labels = f'handler="{handler}",method="POST",status="{status}"'
        lines.append(f"http_requests_total{{{labels}}} {per_second * seconds}")
    return "\n".join(lines) + "\n"


def old_growing(seconds: float) -> str:
    """An engine that still calls the inter-token latency by its old name."""
    labels = 'model_name="tiny"'
    return (
        f"vllm:time_per_output_token_seconds_sum{{{labels}}} {2 * seconds}\n"
        f"vllm:time_per_output_token_seconds_count{{{labels}}} {80 * seconds}\n"
    )


def sglang_growing(seconds: float) -> str:
    """Two data-parallel schedulers, two tensor-parallel ranks that all report, priorities."""
    lines = []
    for dp, tp, running in ((0, 0, 5), (0, 1, 5), (1, 2, 7), (1, 3, 7)):
        labels = f'model_name="tiny",engine_type="unified",tp_rank="{tp}",dp_rank="{dp}"'
        lines += [
            f'sglang:num_running_reqs{{{labels},priority=""}} {running}',
            f'sglang:num_running_reqs{{{labels},priority="3"}} {running - 2}',
            f'sglang:num_running_reqs{{{labels},priority="7"}} 2',
            f'sglang:num_queue_reqs{{{labels},priority=""}} {dp}',
            f"sglang:token_usage{{{labels}}} 0.{3 + dp}",
            f"sglang:num_retracted_requests_total{{{labels}}} {seconds}",
            f'sglang:realtime_tokens_total{{{labels},mode="decode"}} {100 * seconds}',
            f'sglang:realtime_tokens_total{{{labels},mode="prefill_compute"}} {30 * seconds}',
            f'sglang:realtime_tokens_total{{{labels},mode="prefill_cache"}} {10 * seconds}',
        ]
    front = 'model_name="tiny",engine_type="unified",priority="{0}"'
    for priority in "37":
        labels = front.replace("{0}", priority)
        lines += [
            f"sglang:inter_token_latency_seconds_sum{{{labels}}} {2 * seconds}",
            f"sglang:inter_token_latency_seconds_count{{{labels}}} {80 * seconds}",
            f'sglang:num_requests_total{{{labels},is_streaming="true"}} {2 * seconds}',
            f'sglang:generation_tokens_total{{{labels},is_streaming="true"}} 1000',
        ]
    for endpoint, status, per_second in (
        ("/v1/chat/completions", "503", 2),
        ("/generate", "500", 1),
        ("/metrics", "500", 9),
        ("/v1/chat/completions", "200", 5),
    ):
        labels = f'endpoint="{endpoint}",status_code="{status}",method="POST"'
        lines.append(f"sglang:http_responses_total{{{labels}}} {per_second * seconds}")
    return "\n".join(lines) + "\n"


def old_sglang(_: float) -> str:
    """A front-end without the scheduler's token counter and without any failure yet."""
    return (
        'sglang:num_running_reqs{model_name="tiny"} 1\n'
        'sglang:generation_tokens_total{model_name="tiny"} 1000\n'
        'sglang:http_responses_total{endpoint="/health",status_code="200",method="GET"} 5\n'
    )


def stale(_: float) -> str:
    """Samples that say themselves that they are old, and one that does not."""
    at_ms = int((time.time() - STALE_S) * 1000)
    return (
        f'vllm:num_requests_running{{model_name="tiny"}} 9 {at_ms}\n'
        'vllm:num_requests_waiting{model_name="tiny"} 1\n'
    )


def constant(text: str) -> Page:
    """A page that never changes."""
    return lambda _: text


PAGES: Mapping[str, Mapping[str, Page]] = {
    "captures": {path.stem: constant(path.read_text()) for path in sorted(CAPTURES.glob("*.prom"))},
    "growing": {"growing": vllm_growing, "old-growing": old_growing},
    "old": {"old": constant(OLD_VLLM), "both": constant(BOTH_KV_NAMES)},
    "sglang": {"sglang": sglang_growing, "old-sglang": old_sglang},
    "broken": {
        "not-finite": constant(NOT_FINITE),
        "stale": stale,
        "half-asleep": constant(HALF_ASLEEP),
    },
    "twice-a": {"twice": constant(OLD_VLLM)},
    "twice-b": {"twice": constant(OLD_VLLM)},
}
