"""The figures at the top of the fleet overview."""

from grafana.looks import BAD, GOOD, SLO_OBJECTIVE, WARN, cache, latency, thresholds
from grafana.panels import Ask, Words
from grafana.promql import (
    ENGINES,
    POOLS,
)
from grafana.sdk import dashboard as sdk
from grafana.shapes import figure

_BUDGET = 1 - SLO_OBJECTIVE
_PEAK = "model:ttft_seconds:p95_rate5m"
_REASON = "vllm_nginx_lb_backend_reason_info"
_NO_CONTROLLER = "No controller metrics: is vllm-nginx-lb scraped?"
_NO_ENGINES = "No engine metrics: are engines scraped and rules/recording.yml loaded?"
_NO_LOG = "No access-log metrics: is mtail running and scraped?"


def figures() -> list[sdk.Panel]:
    """What holds now."""
    served = "max by (pool, backend) (vllm_nginx_lb_backend_weight_applied{" + POOLS + "})"
    every = f"count by (pool, backend) ({_REASON}{{{POOLS}}})"
    # Watchdog always fires: where there are no alerts at all, no rules are loaded.
    none = "0 * count(ALERTS)"
    firing = 'ALERTS{{alertstate="firing",severity="{}"}}'
    return [
        figure(
            Words(
                title="Backends serving",
                about="Backends with a weight above 0 that Nginx confirmed"
                " (vllm_nginx_lb_backend_weight_applied), of those configured or discovered"
                " (vllm_nginx_lb_backend_reason_info). Normal: the two are equal.",
                missing=_NO_CONTROLLER,
            ),
            Ask(f"sum({served} > bool 0)", "serving"),
            Ask(f"count({every})", "known"),
            unit="none",
        ),
        figure(
            Words(
                title="Requests",
                about="Per second: client requests at Nginx (pool:requests:rate5m) and those that"
                " the engines finished (backend:requests_finished:rate5m). Normal: close to each"
                " other. Fewer finished than asked: requests fail, are shed, or queue up.",
                missing="No requests seen: mtail and engines are silent",
            ),
            Ask(f"sum(pool:requests:rate5m{{{POOLS}}})", "asked"),
            Ask(f"sum(backend:requests_finished:rate5m{{{ENGINES}}})", "finished"),
            unit="reqps",
        ),
        figure(
            Words(
                title="P95 time to first token, worst model",
                about="model:ttft_seconds:p95_rate5m, the largest. The objective is a first token"
                " within 2.5 s (SGLang: 2 s) for 95 % of requests. Normal: green, below 2 s.",
                missing="No first tokens in the last 5 minutes",
            ),
            Ask(f"topk(1, {_PEAK}{{{ENGINES}}})", "{{model_name}}"),
            unit="s",
            limits=latency(),
        ),
        figure(
            Words(
                title="First tokens in time",
                about="1 - model:ttft_slo_errors:ratio_rate5m of the worst model. Normal: above"
                " 95 %.",
                missing="No first tokens in the last 5 minutes",
            ),
            Ask(f"1 - max(model:ttft_slo_errors:ratio_rate5m{{{ENGINES}}})"),
            unit="percentunit",
            limits=thresholds(BAD, (SLO_OBJECTIVE, GOOD)),
        ),
        figure(
            Words(
                title="Requests waiting",
                about="model:requests_waiting:sum: in the engines' queues, not yet running. Normal:"
                " none or few. A queue that stays is a fleet that is full.",
                missing=_NO_ENGINES,
            ),
            Ask(f"sum(model:requests_waiting:sum{{{ENGINES}}})"),
            unit="none",
            limits=thresholds(GOOD, (1, WARN)),
        ),
        figure(
            Words(
                title="Fullest KV cache",
                about="backend:kv_cache_usage:max, the largest. Normal: below 85 %. Near 100 % the"
                " engine preempts, which throws work away.",
                missing=_NO_ENGINES,
            ),
            Ask(f"max(backend:kv_cache_usage:max{{{ENGINES}}})"),
            unit="percentunit",
            limits=cache(),
        ),
        figure(
            Words(
                title="Alerts firing",
                about="ALERTS by severity, of all jobs. Normal: none of either.",
                missing="No alerts known: is rules/alerts.yml loaded?",
            ),
            Ask(f"count({firing.format('critical')}) or {none}", "critical"),
            Ask(f"count({firing.format('warning')}) or {none}", "warning"),
            unit="none",
            limits=thresholds(GOOD, (1, BAD)),
        ),
    ]
