"""The engine's series on /metrics, fed with step results; names and buckets are vLLM's.

Gauges move only when `set_state` is called, which the server does at the end of a step, as vLLM
does. A frozen engine therefore shows frozen gauges, and new requests stay invisible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from simulator import series
from simulator.families import Families

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from simulator.engine_values import FinishedRequest, StepResult
    from simulator.parameters import EngineParameters

# One engine per server: the label vLLM gives the first data-parallel rank.
_ENGINE = "0"


class EngineMetrics:
    """All `vllm:` families of one server, in the registry given."""

    def __init__(
        self, registry: CollectorRegistry, model_name: str, parameters: EngineParameters
    ) -> None:
        self._parameters = parameters
        families = Families(registry, {"engine": _ENGINE, "model_name": model_name})
        self._add_gauges(families)
        self._add_counters(families)
        self._add_token_histograms(families)
        self._add_time_histograms(families)
        # Two families without the usual labels.
        self._cache_config = Gauge(
            "vllm:cache_config_info",
            "The KV cache's configuration.",
            ("engine", *series.CACHE_CONFIG_DEFAULTS, *series.CACHE_CONFIG_COMPUTED),
            registry=registry,
        )
        rejections = Counter(
            "vllm:admission_rejections",
            "Requests refused by a queue limit, always 0 here.",
            ("model_name", "reason"),
            registry=registry,
        )
        for reason in series.REJECTION_REASONS:
            rejections.labels(model_name=model_name, reason=reason)
        self.set_num_gpu_blocks(parameters.num_gpu_blocks)
        self.set_awake(awake=True)
        self.set_state(running=0, waiting=0, kv_usage=0.0)

    def set_state(self, *, running: int, waiting: int, kv_usage: float) -> None:
        """Publish the engine's gauges."""
        self._running.set(running)
        self._waiting.set(waiting)
        self._waiting_by_reason["capacity"].set(waiting)
        self._kv_usage.set(kv_usage)

    def set_awake(self, *, awake: bool) -> None:
        """Publish whether the engine is awake, or asleep at level 1 (weights offloaded)."""
        self._sleep_state["awake"].set(awake)
        self._sleep_state["weights_offloaded"].set(not awake)

    def set_num_gpu_blocks(self, num_gpu_blocks: int) -> None:
        """Publish the size of the KV cache, the reserved block included."""
        block_size = self._parameters.block_size
        tokens = num_gpu_blocks * block_size
        self._cache_config.clear()
        self._cache_config.labels(
            **series.CACHE_CONFIG_DEFAULTS,
            engine=_ENGINE,
            block_size=str(block_size),
            effective_attention_block_size=str(block_size),
            num_gpu_blocks=str(num_gpu_blocks),
            num_gpu_blocks_override=str(num_gpu_blocks),
            kv_cache_size_tokens=str(tokens),
            kv_cache_max_concurrency=str(tokens / self._parameters.max_model_len),
        ).set(1)

    def observe_step(self, result: StepResult) -> None:
        """Count what a step brought, when its tokens come out."""
        # vLLM counts a prompt when its first token comes out, and never a recomputation.
        prompt_tokens = sum(request.prompt_tokens for request in result.first_tokens)
        self._iteration_tokens.observe(prompt_tokens + len(result.emitted))
        self._generation_tokens.inc(len(result.emitted))
        for gap_s in result.inter_token_s:
            self._inter_token.observe(gap_s)
        if result.first_tokens:
            self._prompt_tokens.inc(prompt_tokens)
            self._computed_prompt_tokens.inc(prompt_tokens)
            self._prefix_cache_queries.inc(prompt_tokens)
            for request in result.first_tokens:
                self._first_token.observe(result.ended_s - request.arrival_s)
        for finished in result.finished:
            self._observe_finished(finished)
        self.count_preemptions(len(result.preempted))

    def count_preemptions(self, count: int) -> None:
        """Count requests sent back to the queue."""
        self._preemptions.inc(count)

    def count_aborted(self) -> None:
        """Count a request whose client went away."""
        self._finished["abort"].inc()

    def count_failed(self) -> None:
        """Count a request the engine gave up."""
        self._finished["error"].inc()

    def _observe_finished(self, finished: FinishedRequest) -> None:
        request = finished.request
        decode_s = finished.finished_s - finished.first_token_s
        self._finished["length"].inc()
        self._request_prompt.observe(request.prompt_tokens)
        self._request_prefilled.observe(request.prompt_tokens)
        self._request_generation.observe(request.output_tokens)
        self._request_max_generation.observe(request.output_tokens)
        self._request_max_tokens.observe(request.output_tokens)
        self._request_n.observe(1)
        self._request_preemptions.observe(finished.preemptions)
        self._end_to_end.observe(finished.finished_s - request.arrival_s)
        self._queue_time.observe(finished.scheduled_s - request.arrival_s)
        self._inference_time.observe(finished.finished_s - finished.scheduled_s)
        self._prefill_time.observe(finished.first_token_s - finished.scheduled_s)
        self._decode_time.observe(decode_s)
        self._time_per_token.observe(decode_s / max(1, request.output_tokens - 1))

    def _add_gauges(self, families: Families) -> None:
        self._running = families.gauge(
            "vllm:num_requests_running", "Requests in the running batch."
        )
        self._waiting = families.gauge("vllm:num_requests_waiting", "Requests in the queue.")
        self._kv_usage = families.gauge("vllm:kv_cache_usage_perc", "KV blocks in use, 1 is all.")
        self._waiting_by_reason = families.gauges(
            "vllm:num_requests_waiting_by_reason",
            "Requests in the queue, by why.",
            "reason",
            series.WAITING_REASONS,
        )
        self._sleep_state = families.gauges(
            "vllm:engine_sleep_state",
            "Whether the engine is awake, or which level of sleep it is in.",
            "sleep_state",
            series.SLEEP_STATES,
        )

    def _add_counters(self, families: Families) -> None:
        for name in series.IDLE_COUNTERS:
            families.counter(name, "Always 0 here.")
        self._prefix_cache_queries = families.counter(
            "vllm:prefix_cache_queries", "Prompt tokens looked up in the prefix cache."
        )
        self._preemptions = families.counter("vllm:num_preemptions", "Preemptions.")
        self._prompt_tokens = families.counter("vllm:prompt_tokens", "Prompt tokens prefilled.")
        self._generation_tokens = families.counter("vllm:generation_tokens", "Tokens generated.")
        self._computed_prompt_tokens = families.counters(
            "vllm:prompt_tokens_by_source",
            "Prompt tokens by where they came from.",
            "source",
            series.PROMPT_SOURCES,
        )["local_compute"]
        families.counters(
            "vllm:prompt_tokens_cached_by_source",
            "Prefix-cache hits by tier, always 0 here.",
            "source",
            series.CACHE_TIERS,
        )
        self._finished = families.counters(
            "vllm:request_success",
            "Requests that ended, by how.",
            "finished_reason",
            series.FINISHED_REASONS,
        )

    def _add_token_histograms(self, families: Families) -> None:
        bounds = series.token_bounds(self._parameters.max_model_len)
        self._iteration_tokens = families.histogram(
            "vllm:iteration_tokens_total", "Tokens per engine step.", series.ITERATION_BOUNDS
        )
        self._request_prompt = families.histogram(
            "vllm:request_prompt_tokens", "Prompt tokens per request.", bounds
        )
        self._request_prefilled = families.histogram(
            "vllm:request_prefill_kv_computed_tokens", "Uncached prompt tokens.", bounds
        )
        self._request_generation = families.histogram(
            "vllm:request_generation_tokens", "Generated tokens per request.", bounds
        )
        self._request_max_generation = families.histogram(
            "vllm:request_max_num_generation_tokens", "Most tokens asked for.", bounds
        )
        self._request_max_tokens = families.histogram(
            "vllm:request_params_max_tokens", "The parameter max_tokens.", bounds
        )
        self._request_n = families.histogram(
            "vllm:request_params_n", "The parameter n.", series.N_BOUNDS
        )
        self._request_preemptions = families.histogram(
            "vllm:request_num_preemptions", "Preemptions per request.", series.PREEMPTION_BOUNDS
        )

    def _add_time_histograms(self, families: Families) -> None:
        self._first_token = families.histogram(
            "vllm:time_to_first_token_seconds", "From arrival.", series.FIRST_TOKEN_BOUNDS
        )
        self._inter_token = families.histogram(
            "vllm:inter_token_latency_seconds", "Between tokens.", series.INTER_TOKEN_BOUNDS
        )
        self._time_per_token = families.histogram(
            "vllm:request_time_per_output_token_seconds",
            "Mean per request.",
            series.INTER_TOKEN_BOUNDS,
        )
        long = series.SUB_SECOND_TO_HOURS
        self._end_to_end = families.histogram(
            "vllm:e2e_request_latency_seconds", "Arrival to last token.", long
        )
        self._queue_time = families.histogram(
            "vllm:request_queue_time_seconds", "Arrival to first step.", long
        )
        self._inference_time = families.histogram(
            "vllm:request_inference_time_seconds", "First step to last token.", long
        )
        self._prefill_time = families.histogram(
            "vllm:request_prefill_time_seconds", "First step to first token.", long
        )
        self._decode_time = families.histogram(
            "vllm:request_decode_time_seconds", "First to last token.", long
        )
