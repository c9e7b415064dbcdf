"""What the requests to an engine meet: latencies, errors, lengths."""

from grafana.looks import BAD, ERROR_SHARE, SLO_LATENCY_S, line
from grafana.panels import NO_FILL, Ask, Words
from grafana.promql import CHOSEN, either, one_engine, quantile, rate
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph, heat

_IDLE = "No request in this time, or the instance is not scraped"
# What is measured: vLLM's histogram, SGLang's, and what is normal.
_TIMES = {
    "Time to first token": (
        "vllm:time_to_first_token_seconds",
        "sglang:time_to_first_token_seconds",
        "Normal: P95 below the objective (dashed), 2.5 s. SGLang's is 2 s.",
    ),
    "Time between tokens": (
        "vllm:inter_token_latency_seconds",
        "sglang:inter_token_latency_seconds",
        "Normal: tens of milliseconds, rising with the requests that run.",
    ),
    "Time of whole requests": (
        "vllm:e2e_request_latency_seconds",
        "sglang:e2e_request_latency_seconds",
        "Normal: time to first token plus length times time between tokens.",
    ),
    "Time in the queue": (
        "vllm:request_queue_time_seconds",
        "sglang:queue_time_seconds",
        "Normal: near 0. vLLM's first bucket ends at 0.3 s, so below that these are guesses.",
    ),
}
_SHARES = {0.5: "P50", 0.95: "P95", 0.99: "P99"}


def latencies() -> list[sdk.Panel]:
    """Quantiles of every time."""
    return [_quantiles(title, *of) for title, of in _TIMES.items()]


def heats() -> list[sdk.Panel]:
    """All requests by every time."""
    return [_heat(title, vllm, sglang) for title, (vllm, sglang, _) in _TIMES.items()]


def _quantiles(title: str, vllm: str, sglang: str, normal: str) -> sdk.Panel:
    buckets = either(
        "instance, le", rate(f"{vllm}_bucket", CHOSEN), rate(f"{sglang}_bucket", CHOSEN)
    )
    said = Words(
        title=title, about=f"Quantiles of {vllm}_bucket or {sglang}_bucket. {normal}", missing=_IDLE
    )
    asked = [
        Ask(quantile(share, buckets), f"{{{{instance}}}} {name}", (NO_FILL,))
        for share, name in _SHARES.items()
    ]
    objective = line((SLO_LATENCY_S, BAD))
    return graph(said, *asked, unit="s", limits=objective if "first token" in title else None)


def _heat(title: str, vllm: str, sglang: str) -> sdk.Panel:
    buckets = [f"sum by (le) ({rate(f'{name}_bucket', CHOSEN)})" for name in (vllm, sglang)]
    said = Words(
        title=f"{title}, all requests",
        about=f"{vllm}_bucket, or {sglang}_bucket where no vLLM is chosen: their buckets differ."
        " Normal: one band; two bands are two kinds of requests, or two kinds of backends.",
        missing=_IDLE,
    )
    return heat(said, one_engine(*buckets), unit="s")


def finished() -> sdk.Panel:
    """Ends of requests, by why they ended."""
    said = Words(
        title="Requests finished, by reason",
        about="vllm:request_success_total by finished_reason; of SGLang sglang:num_requests_total"
        " as all and sglang:num_aborted_requests_total as abort. Normal: stop and length. abort:"
        " the client went away; error: the engine failed.",
        missing=_IDLE,
    )
    named = '"finished_reason", "{}", "", ""'
    every = f"sum by (instance) ({rate('sglang:num_requests_total', CHOSEN)})"
    aborted = f"sum by (instance) ({rate('sglang:num_aborted_requests_total', CHOSEN)})"
    expr = (
        f"sum by (instance, finished_reason) ({rate('vllm:request_success_total', CHOSEN)})"
        f" or label_replace({every}, {named.format('all')})"
        f" or label_replace({aborted}, {named.format('abort')})"
    )
    return graph(said, Ask(expr, "{{instance}} {{finished_reason}}"), unit="reqps", stacked=True)


def errors() -> sdk.Panel:
    """Server errors."""
    said = Words(
        title="Server errors",
        about="backend:request_errors:ratio_rate5m: 5xx answers and engine errors, as a part of the"
        " requests. BackendErrorRatio fires above 5 % (dashed). Normal: 0.",
        missing=_IDLE,
    )
    asked = Ask(f"backend:request_errors:ratio_rate5m{{{CHOSEN}}}", "{{instance}}")
    return graph(said, asked, unit="percentunit", limits=line((ERROR_SHARE, BAD)))


def lengths() -> sdk.Panel:
    """How long prompts and answers are."""
    said = Words(
        title="Length of prompts and answers, mean",
        about="vllm:request_prompt_tokens and vllm:request_generation_tokens, sum by count; of"
        " SGLang sglang:prompt_tokens_total and sglang:generation_tokens_total by"
        " sglang:num_requests_total. Normal: steady; a jump is another kind of traffic.",
        missing=_IDLE,
    )
    asked = [
        Ask(_mean(f"vllm:request_{kind}_tokens", f"sglang:{kind}_tokens_total"), legend, (NO_FILL,))
        for kind, legend in (
            ("prompt", "{{instance}} prompt"),
            ("generation", "{{instance}} answer"),
        )
    ]
    return graph(said, *asked, unit="si:tok")


def _mean(vllm: str, sglang: str) -> str:
    """The mean of a histogram of vLLM, or of a counter of SGLang by its requests."""
    total = either("instance", rate(f"{vllm}_sum", CHOSEN), rate(sglang, CHOSEN))
    requests = either(
        "instance", rate(f"{vllm}_count", CHOSEN), rate("sglang:num_requests_total", CHOSEN)
    )
    return f"({total}) / (({requests}) > 0)"


def prefix() -> sdk.Panel:
    """Prompt tokens that did not have to be computed."""
    said = Words(
        title="Prompt tokens found in the prefix cache",
        about="vllm:prefix_cache_hits_total by vllm:prefix_cache_queries_total; of SGLang the mode"
        " prefill_cache of sglang:realtime_tokens_total by both prefill modes. Normal: depends on"
        " the traffic; a fall after a reload means that conversations moved to other backends.",
        missing="No prompts in this time, or the instance is not scraped",
    )
    hits = either(
        "instance",
        rate("vllm:prefix_cache_hits_total", CHOSEN),
        rate("sglang:realtime_tokens_total", f'{CHOSEN},mode="prefill_cache"'),
    )
    asked_for = either(
        "instance",
        rate("vllm:prefix_cache_queries_total", CHOSEN),
        rate("sglang:realtime_tokens_total", f'{CHOSEN},mode=~"prefill_cache|prefill_compute"'),
    )
    asked = Ask(f"({hits}) / (({asked_for}) > 0)", "{{instance}}", (NO_FILL,))
    return graph(said, asked, unit="percentunit", high=1)
