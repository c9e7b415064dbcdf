"""A vLLM server's metrics: names, labels and bounds as vLLM 0.32 publishes them."""

from collections.abc import Mapping, Sequence

from lab.incidents.engine import Done, Request
from lab.incidents.server import Server
from lab.incidents.tally import Histogram
from simulator import series

_BLOCK_TOKENS = 16
_CONTEXT = 8192
_PATH = 'handler="/v1/chat/completions"'
# Of ten answers some end at the limit of tokens that the client set.
_ENDED_BY_LENGTH_EVERY = 10


class VllmServer(Server):
    """One engine, one API process."""

    def be_born(self) -> None:
        """Make the series that exist from the start, at 0."""
        self._of = f'engine="0",model_name="{self.place.model}"'
        self._ended = 0
        counters = self.tally.counters
        for name in ("num_preemptions", "prompt_tokens", "generation_tokens"):
            counters[self._key(f"{name}_total")] = 0
        for name in ("prefix_cache_queries", "prefix_cache_hits", "prompt_tokens_cached"):
            counters[self._key(f"{name}_total")] = 0
        for reason in series.FINISHED_REASONS:
            counters[self._key("request_success_total", f'finished_reason="{reason}"')] = 0
        for source in series.PROMPT_SOURCES:
            counters[self._key("prompt_tokens_by_source_total", f'source="{source}"')] = 0
        self._times = {
            name: self._histogram(name, series.SUB_SECOND_TO_HOURS)
            for name in (
                *("e2e_request_latency_seconds", "request_queue_time_seconds"),
                *("request_prefill_time_seconds", "request_decode_time_seconds"),
                "request_inference_time_seconds",
            )
        }
        self._first = self._histogram("time_to_first_token_seconds", series.FIRST_TOKEN_BOUNDS)
        self._gap = self._histogram("inter_token_latency_seconds", series.INTER_TOKEN_BOUNDS)
        self._per_token = self._histogram(
            "request_time_per_output_token_seconds", series.INTER_TOKEN_BOUNDS
        )
        self._step = self._histogram("iteration_tokens_total", series.ITERATION_BOUNDS)
        bounds = series.token_bounds(_CONTEXT)
        self._prompts = self._histogram("request_prompt_tokens", bounds)
        self._outputs = self._histogram("request_generation_tokens", bounds)

    def gauges(self) -> dict[str, float]:
        """The gauges as they are now."""
        engine = self.engine
        blocks = engine.hardware.kv_tokens // _BLOCK_TOKENS
        size = f'block_size="{_BLOCK_TOKENS}",num_gpu_blocks="{blocks}"'
        return {
            self._key("num_requests_running"): engine.sequences,
            self._key("num_requests_waiting"): len(engine.queue),
            self._key("num_requests_waiting_by_reason", 'reason="capacity"'): len(engine.queue),
            self._key("num_requests_waiting_by_reason", 'reason="deferred"'): 0,
            self._key("kv_cache_usage_perc"): round(engine.kv_usage * blocks) / blocks,
            self._key("engine_sleep_state", 'sleep_state="awake"'): 1,
            self._key("engine_sleep_state", 'sleep_state="weights_offloaded"'): 0,
            self._key("engine_sleep_state", 'sleep_state="discard_all"'): 0,
            f'vllm:cache_config_info{{engine="0",{size}}}': 1,
        }

    def count(self, done: Done) -> None:
        """Count what a second of work brought."""
        counters, prompts = self.tally.counters, 0
        for request in done.started:
            prompts += request.prompt
            self._count_prompt(request)
            self._first.observe((request.first_s or 0) - request.arrival_s)
        for request in done.finished:
            self._count_finished(request)
        counters[self._key("num_preemptions_total")] += done.preempted
        if done.steps:
            self._gap.observe_about(done.step_s, done.tokens)
            self._step.observe_about((done.tokens + prompts) / done.steps, done.steps)
            counters[self._key("generation_tokens_total")] += done.tokens

    def answered(self, status: int) -> None:
        """Count an HTTP answer whose last byte is out."""
        key = f'http_requests_total{{{_PATH},method="POST",status="{status // 100}xx"}}'
        self.tally.counters[key] += 1

    def aborted(self) -> None:
        """Count a request whose client went away."""
        self.tally.counters[self._key("request_success_total", 'finished_reason="abort"')] += 1

    def totals(self) -> Mapping[str, float]:
        """The counters that the controller's signals are made of, by the signal they feed."""
        counters = self.tally.counters
        source = 'source="local_compute"'
        failed = f'http_requests_total{{{_PATH},method="POST",status="5xx"}}'
        return {
            "preemption_rate": counters[self._key("num_preemptions_total")],
            "prompt_rate": counters[self._key("prompt_tokens_total")],
            "prefill_rate": counters[self._key("prompt_tokens_by_source_total", source)],
            "generation_rate": counters[self._key("generation_tokens_total")],
            "itl_seconds_rate": self._gap.sum,
            "itl_count_rate": self._gap.count,
            "engine_step_rate": self._step.count,
            "progress_rate": self._step.count,
            "finished_rate": self._times["e2e_request_latency_seconds"].count,
            "failed_rate": counters.get(failed, 0.0),
        }

    def _key(self, name: str, more: str = "") -> str:
        return f"vllm:{name}{{{self._of}{',' if more else ''}{more}}}"

    def _histogram(self, name: str, bounds: Sequence[float]) -> Histogram:
        return self.tally.histogram(f"vllm:{name}", self._of, [float(bound) for bound in bounds])

    def _count_prompt(self, request: Request) -> None:
        counters, computed = self.tally.counters, request.prompt - request.cached
        for name, tokens in (
            ("prompt_tokens_total", request.prompt),
            ("prefix_cache_queries_total", request.prompt),
            ("prefix_cache_hits_total", request.cached),
            ("prompt_tokens_cached_total", request.cached),
        ):
            counters[self._key(name)] += tokens
        for source, tokens in (("local_compute", computed), ("local_cache_hit", request.cached)):
            counters[self._key("prompt_tokens_by_source_total", f'source="{source}"')] += tokens

    def _count_finished(self, request: Request) -> None:
        scheduled_s, first_s = request.scheduled_s or 0.0, request.first_s or 0.0
        finished_s, times = request.finished_s or 0.0, self._times
        times["e2e_request_latency_seconds"].observe(finished_s - request.arrival_s)
        times["request_queue_time_seconds"].observe(scheduled_s - request.arrival_s)
        times["request_prefill_time_seconds"].observe(first_s - scheduled_s)
        times["request_decode_time_seconds"].observe(finished_s - first_s)
        times["request_inference_time_seconds"].observe(finished_s - scheduled_s)
        self._per_token.observe((finished_s - first_s) / max(1, request.output - 1))
        self._prompts.observe(request.prompt)
        self._outputs.observe(request.output)
        self._ended += 1
        reason = "stop" if self._ended % _ENDED_BY_LENGTH_EVERY else "length"
        self.tally.counters[self._key("request_success_total", f'finished_reason="{reason}"')] += 1
