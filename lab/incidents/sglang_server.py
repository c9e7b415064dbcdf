"""An SGLang server's metrics: names, labels and bounds as SGLang 0.5.23 publishes them."""

from collections.abc import Mapping, Sequence

from lab.incidents.engine import Done, Request
from lab.incidents.server import Server
from lab.incidents.tally import Histogram

_LONG = (
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0),
    *(200.0, 400.0),
)
_LONGER = (*_LONG, 600.0, 1200.0, 1800.0, 2400.0)
_GAPS = (
    *(0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1),
    *(0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0),
)
_QUEUED = (
    *(0.0, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0),
    *(float(ten) for ten in range(10, 101, 10)),
    *(float(hundred) for hundred in range(200, 1001, 100)),
    *(1200.0, 1400.0, 1600.0, 1800.0, 2000.0, 2500.0, 3000.0),
)
_PATH, _METHOD = 'endpoint="/v1/chat/completions"', 'method="POST"'


class SglangServer(Server):
    """One scheduler without parallelism, one front-end."""

    def be_born(self) -> None:
        """Make the series that exist from the start, at 0."""
        # The front-end names the model only; the scheduler also its place in the parallelism.
        self._front = f'model_name="{self.place.model}"'
        self._scheduler = (
            f'engine_type="unified",{self._front},moe_ep_rank="0",pp_rank="0",tp_rank="0"'
        )
        self._shown_tokens, self._shown_rate = 0.0, 0.0
        counters = self.tally.counters
        for name in ("prompt_tokens_total", "generation_tokens_total", "num_requests_total"):
            counters[f"sglang:{name}{{{self._front}}}"] = 0
        counters[f"sglang:num_aborted_requests_total{{{self._front}}}"] = 0
        counters[f'sglang:cached_tokens_total{{cache_source="device",{self._front}}}'] = 0
        counters[f"sglang:num_retracted_requests_total{{{self._scheduler}}}"] = 0
        self._first = self._histogram("time_to_first_token_seconds", self._front, _LONG)
        self._gap = self._histogram("inter_token_latency_seconds", self._front, _GAPS)
        self._end = self._histogram("e2e_request_latency_seconds", self._front, _LONGER)
        self._queued = self._histogram("queue_time_seconds", self._scheduler, _QUEUED)

    def gauges(self) -> dict[str, float]:
        """The gauges as they are now."""
        engine, of = self.engine, self._scheduler
        used = round(engine.kv_usage * engine.hardware.kv_tokens)
        decoded = self.tally.counters[self._realtime("decode")]
        rate = max(0.0, decoded - self._shown_tokens)
        self._shown_tokens = decoded
        return {
            f"sglang:num_running_reqs{{{of}}}": engine.sequences,
            f"sglang:num_queue_reqs{{{of}}}": len(engine.queue),
            f"sglang:token_usage{{{of}}}": round(used / engine.hardware.kv_tokens, 2),
            f"sglang:num_used_tokens{{{of}}}": used,
            f"sglang:max_total_num_tokens{{{of}}}": engine.hardware.kv_tokens,
            f"sglang:gen_throughput{{{of}}}": rate,
            f"sglang:cache_hit_rate{{{of}}}": 0.3,
            f"sglang:utilization{{{of}}}": engine.sequences / engine.hardware.sequences,
        }

    def count(self, done: Done) -> None:
        """Count what a second of work brought."""
        counters = self.tally.counters
        for request in done.started:
            computed = request.prompt - request.cached
            counters[self._realtime("prefill_compute")] += computed
            counters[self._realtime("prefill_cache")] += request.cached
            self._first.observe((request.first_s or 0) - request.arrival_s)
            self._queued.observe((request.scheduled_s or 0) - request.arrival_s)
        for request in done.finished:
            self._count_finished(request)
        counters[f"sglang:num_retracted_requests_total{{{self._scheduler}}}"] += done.preempted
        if done.steps:
            self._gap.observe_about(done.step_s, done.tokens)
            counters[self._realtime("decode")] += done.tokens

    def answered(self, status: int) -> None:
        """Count an HTTP answer whose last byte is out."""
        counters = self.tally.counters
        counters[f"sglang:http_requests_total{{{_PATH},{_METHOD}}}"] += 1
        counters[f'sglang:http_responses_total{{{_PATH},{_METHOD},status_code="{status}"}}'] += 1

    def aborted(self) -> None:
        """Count a request whose client went away; SGLang counts it as processed, too."""
        for name in ("num_aborted_requests_total", "num_requests_total"):
            self.tally.counters[f"sglang:{name}{{{self._front}}}"] += 1

    def totals(self) -> Mapping[str, float]:
        """The counters that the controller's signals are made of, by the signal they feed."""
        counters = self.tally.counters
        modes = {
            mode: counters[self._realtime(mode)]
            for mode in ("prefill_compute", "prefill_cache", "decode")
        }
        retracted = f"sglang:num_retracted_requests_total{{{self._scheduler}}}"
        failed = f'sglang:http_responses_total{{{_PATH},{_METHOD},status_code="500"}}'
        return {
            "preemption_rate": counters[retracted],
            "prompt_rate": modes["prefill_compute"] + modes["prefill_cache"],
            "prefill_rate": modes["prefill_compute"],
            "generation_rate": modes["decode"],
            "itl_seconds_rate": self._gap.sum,
            "itl_count_rate": self._gap.count,
            "progress_rate": sum(modes.values()),
            "finished_rate": self._end.count,
            "failed_rate": counters.get(failed, 0.0),
        }

    def _realtime(self, mode: str) -> str:
        return f'sglang:realtime_tokens_total{{{self._scheduler},mode="{mode}"}}'

    def _histogram(self, name: str, labels: str, bounds: Sequence[float]) -> Histogram:
        return self.tally.histogram(f"sglang:{name}", labels, bounds)

    def _count_finished(self, request: Request) -> None:
        counters = self.tally.counters
        self._end.observe((request.finished_s or 0.0) - request.arrival_s)
        for name, amount in (
            ("prompt_tokens_total", request.prompt),
            ("generation_tokens_total", request.output),
            ("num_requests_total", 1),
        ):
            counters[f"sglang:{name}{{{self._front}}}"] += amount
        counters[f'sglang:cached_tokens_total{{cache_source="device",{self._front}}}'] += (
            request.cached
        )
