"""How long the clients of the fleet wait."""

from grafana.looks import (
    BAD,
    BURN_HOUR,
    BURN_SIX_HOURS,
    IMBALANCE,
    QUEUE_S,
    SLO_LATENCY_S,
    SLO_OBJECTIVE,
    WARN,
    line,
)
from grafana.panels import NO_FILL, Ask, Words
from grafana.promql import (
    ENGINES,
    one_engine,
    rate,
)
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph, heat

_BUDGET = 1 - SLO_OBJECTIVE
_PEAK = "model:ttft_seconds:p95_rate5m"
_REASON = "vllm_nginx_lb_backend_reason_info"
_NO_CONTROLLER = "No controller metrics: is vllm-nginx-lb scraped?"
_NO_ENGINES = "No engine metrics: are engines scraped and rules/recording.yml loaded?"
_NO_LOG = "No access-log metrics: is mtail running and scraped?"


def first_token() -> sdk.Panel:
    """By model."""
    buckets = f"sum by (model_name, le) (backend_le:ttft_seconds_bucket:rate5m{{{ENGINES}}})"
    said = Words(
        title="Time to first token, by model",
        about="model:ttft_seconds:p95_rate5m, and the median of"
        " backend_le:ttft_seconds_bucket:rate5m. The dashed line is the objective for vLLM, 2.5"
        " s. Normal: P95 below it.",
        missing="No first tokens in this time",
    )
    return graph(
        said,
        Ask(f"{_PEAK}{{{ENGINES}}}", "{{model_name}} ({{job}}) P95"),
        Ask(f"histogram_quantile(0.5, {buckets}) >= 0", "{{model_name}} P50", (NO_FILL,)),
        unit="s",
        limits=line((SLO_LATENCY_S, BAD)),
    )


def whole() -> sdk.Panel:
    """Queueing and whole requests."""
    said = Words(
        title="Queueing and whole requests, mean of the slowest backend",
        about="The largest of backend:queue_time_seconds:mean5m and backend:e2e_seconds:mean5m."
        " Normal: queueing near 0, QueueTimeHigh fires above 2 s (dashed); whole requests depend on"
        " how long answers are.",
        missing="No requests finished in this time",
    )
    return graph(
        said,
        _slowest("backend:queue_time_seconds:mean5m", "queueing"),
        _slowest("backend:e2e_seconds:mean5m", "whole request"),
        unit="s",
        limits=line((QUEUE_S, WARN)),
    )


def between() -> sdk.Panel:
    """Between tokens."""
    said = Words(
        title="Time between tokens, mean of the slowest backend",
        about="The largest of backend:itl_seconds:mean5m. Normal: tens of milliseconds, rising with"
        " the load; above 0.1 s readers notice.",
        missing="No tokens in this time",
    )
    return graph(said, _slowest("backend:itl_seconds:mean5m", "between tokens"), unit="s")


def _slowest(metric: str, name: str) -> Ask:
    expr = f"max by (model_name) ({metric}{{{ENGINES}}})"
    return Ask(expr, f"{{{{model_name}}}} {name}", (NO_FILL,))


def distribution() -> sdk.Panel:
    """Of first tokens."""
    buckets = {
        engine: "sum by (le) ("
        + rate(f"{engine}:time_to_first_token_seconds_bucket", ENGINES)
        + ")"
        for engine in ("vllm", "sglang")
    }
    said = Words(
        title="Time to first token, all requests",
        about="vllm:time_to_first_token_seconds_bucket, or"
        " sglang:time_to_first_token_seconds_bucket where no vLLM is chosen: their buckets"
        " differ, so choose a job in a mixed fleet. Normal: one dark band far below 2.5 s; a"
        " second band above it is a part of the fleet that queues.",
        missing="No first tokens in this time",
    )
    return heat(said, one_engine(buckets["vllm"], buckets["sglang"]), unit="s")


def burn() -> sdk.Panel:
    """How fast the error budget goes."""
    said = Words(
        title="Error budget burnt, by model",
        about="model:ttft_slo_errors:ratio_rate5m, model:ttft_slo_errors:ratio_rate1h and"
        " model:ttft_slo_errors:ratio_rate6h over the 5 % that the objective allows. At 1 the"
        " budget lasts exactly as long as it should. TtftBurnFast fires above 14.4 within an hour"
        " or above 6 within six (dashed). Normal: below 1.",
        missing="No first tokens in this time",
    )
    asked = [
        Ask(
            f"model:ttft_slo_errors:ratio_rate{window}{{{ENGINES}}} / {_BUDGET:.2f}",
            f"{{{{model_name}}}} ({{{{job}}}}) {window}",
            (NO_FILL,),
        )
        for window in ("5m", "1h", "6h")
    ]
    limits = line((BURN_SIX_HOURS, WARN), (BURN_HOUR, BAD))
    return graph(said, *asked, unit="none", limits=limits)


def imbalance() -> sdk.Panel:
    """Of the queues."""
    said = Words(
        title="Imbalance of the queues, by model",
        about="model:requests_waiting:imbalance: the part of the waiting requests that would have"
        " to change queues for all to be even. 0: even; near 1: one backend has them all. It"
        " means little while few wait; LoadImbalanced fires above 40 % (dashed) of ten or more."
        " Normal: absent, since nobody waits, or below 40 %.",
        missing="Nobody waits, or " + _NO_ENGINES[0].lower() + _NO_ENGINES[1:],
    )
    asked = Ask(f"model:requests_waiting:imbalance{{{ENGINES}}}", "{{model_name}} ({{job}})")
    return graph(said, asked, unit="percentunit", high=1, limits=line((IMBALANCE, WARN)))
