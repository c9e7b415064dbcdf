"""What vLLM and SGLang publish, under all names they have used for it.

Names were read from captures of vLLM 0.32 and the sources of SGLang 0.5.23; docs/signals.md lists
what each signal is made of and since when.
"""

from collections.abc import Mapping
from types import MappingProxyType

from controller.adapters.prometheus.recipes import Profile, Recipe, Series
from controller.core.model import Signal

# The front-end labels a status class ("5xx") by default and a code ("500") when set to.
_VLLM_5XX = Series("http_requests_total", 'handler=~"/v1/.*",status=~"5.."', has_model=False)
_VLLM_HTTP = Series("http_requests_total", has_model=False)

_VLLM: Mapping[str, Recipe] = {
    Signal.RUNNING: Recipe(any_of=(Series("vllm:num_requests_running"),)),
    Signal.WAITING: Recipe(any_of=(Series("vllm:num_requests_waiting"),)),
    # A request is bound to one rank, so the fullest rank is what it may meet.
    Signal.KV_USAGE: Recipe(
        any_of=(Series("vllm:kv_cache_usage_perc"), Series("vllm:gpu_cache_usage_perc")),
        aggregate="max",
    ),
    Signal.PREEMPTIONS_TOTAL: Recipe(any_of=(Series("vllm:num_preemptions_total"),)),
    Signal.PREEMPTION_RATE: Recipe(any_of=(Series("vllm:num_preemptions_total"),), rate=True),
    Signal.PROMPT_RATE: Recipe(any_of=(Series("vllm:prompt_tokens_total"),), rate=True),
    Signal.PREFILL_RATE: Recipe(
        any_of=(
            Series("vllm:prompt_tokens_by_source_total", 'source="local_compute"'),
            Series("vllm:prompt_tokens_total"),
        ),
        rate=True,
    ),
    Signal.GENERATION_RATE: Recipe(any_of=(Series("vllm:generation_tokens_total"),), rate=True),
    Signal.ITL_SECONDS_RATE: Recipe(
        any_of=(
            Series("vllm:inter_token_latency_seconds_sum"),
            Series("vllm:time_per_output_token_seconds_sum"),
        ),
        rate=True,
    ),
    Signal.ITL_COUNT_RATE: Recipe(
        any_of=(
            Series("vllm:inter_token_latency_seconds_count"),
            Series("vllm:time_per_output_token_seconds_count"),
        ),
        rate=True,
    ),
    Signal.ENGINE_STEP_RATE: Recipe(
        any_of=(Series("vllm:iteration_tokens_total_count"),), rate=True
    ),
    # Steps are counted while a long prefill emits no token; engines that do not count them yet are
    # judged by their tokens.
    Signal.PROGRESS_RATE: Recipe(
        any_of=(
            Series("vllm:iteration_tokens_total_count"),
            Series("vllm:generation_tokens_total"),
        ),
        rate=True,
    ),
    Signal.FINISHED_RATE: Recipe(
        any_of=(Series("vllm:request_success_total", 'finished_reason!~"abort|error"'),), rate=True
    ),
    # A counter of failures is born with its first failure; beside any other HTTP counter its
    # absence means none.
    Signal.FAILED_RATE: Recipe(
        any_of=(_VLLM_5XX,),
        rate=True,
        plus=(Series("vllm:request_success_total", 'finished_reason="error"'),),
        zero_with=_VLLM_HTTP,
    ),
    Signal.AWAKE: Recipe(
        any_of=(Series("vllm:engine_sleep_state", 'sleep_state="awake"'),), aggregate="min"
    ),
}

# The tensor, pipeline and expert ranks of one scheduler publish copies when all of them report.
_RANK = ("dp_rank",)
_SGLANG_RETRACTED = Series("sglang:num_retracted_requests_total", distinct_by=_RANK)
_SGLANG_DECODED = Series("sglang:realtime_tokens_total", 'mode="decode"', distinct_by=_RANK)
_SGLANG_PREFILLED = Series(
    "sglang:realtime_tokens_total",
    'mode=~"prefill_compute|prefill_cache"',
    distinct_by=(*_RANK, "mode"),
)
_SGLANG_COMPUTED = Series(
    "sglang:realtime_tokens_total", 'mode="prefill_compute"', distinct_by=_RANK
)
_SGLANG_STEPPED = Series("sglang:realtime_tokens_total", distinct_by=(*_RANK, "mode"))
_SGLANG_HTTP = Series("sglang:http_responses_total", has_model=False)
_SGLANG_5XX = Series(
    "sglang:http_responses_total",
    'endpoint=~"/v1/.*|/generate",status_code=~"5.."',
    has_model=False,
)

_SGLANG: Mapping[str, Recipe] = {
    # Under priority scheduling the series without a priority is the total of the others.
    Signal.RUNNING: Recipe(
        any_of=(Series("sglang:num_running_reqs", 'priority=""', distinct_by=_RANK),)
    ),
    Signal.WAITING: Recipe(
        any_of=(Series("sglang:num_queue_reqs", 'priority=""', distinct_by=_RANK),)
    ),
    Signal.KV_USAGE: Recipe(any_of=(Series("sglang:token_usage"),), aggregate="max"),
    Signal.PREEMPTIONS_TOTAL: Recipe(any_of=(_SGLANG_RETRACTED,)),
    Signal.PREEMPTION_RATE: Recipe(any_of=(_SGLANG_RETRACTED,), rate=True),
    # The front-end's own token counters move only when a request ends, which reads as no tokens
    # for as long as the requests last; the scheduler's move with each step but are newer.
    Signal.PROMPT_RATE: Recipe(
        any_of=(_SGLANG_PREFILLED, Series("sglang:prompt_tokens_total")), rate=True
    ),
    Signal.PREFILL_RATE: Recipe(
        any_of=(_SGLANG_COMPUTED, Series("sglang:prompt_tokens_total")), rate=True
    ),
    Signal.GENERATION_RATE: Recipe(
        any_of=(_SGLANG_DECODED, Series("sglang:generation_tokens_total")), rate=True
    ),
    Signal.ITL_SECONDS_RATE: Recipe(
        any_of=(
            Series("sglang:inter_token_latency_seconds_sum"),
            Series("sglang:time_per_output_token_seconds_sum"),
        ),
        rate=True,
    ),
    Signal.ITL_COUNT_RATE: Recipe(
        any_of=(
            Series("sglang:inter_token_latency_seconds_count"),
            Series("sglang:time_per_output_token_seconds_count"),
        ),
        rate=True,
    ),
    # Nothing older will do: the front-end's counters stand still while long requests are served.
    Signal.PROGRESS_RATE: Recipe(any_of=(_SGLANG_STEPPED,), rate=True),
    Signal.FINISHED_RATE: Recipe(any_of=(Series("sglang:num_requests_total"),), rate=True),
    Signal.FAILED_RATE: Recipe(any_of=(_SGLANG_5XX,), rate=True, zero_with=_SGLANG_HTTP),
}

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile(name="vllm", recipes=_VLLM, landmark=Series("vllm:num_requests_running")),
            Profile(name="sglang", recipes=_SGLANG, landmark=Series("sglang:num_running_reqs")),
            Profile(name="custom", recipes={}, landmark=None),
        )
    }
)
"""By name; `custom` provides nothing, so that all its signals are the user's own PromQL."""
