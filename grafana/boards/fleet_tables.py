"""The tables of the fleet overview: alerts, models, backends."""

from grafana.layout import Line
from grafana.looks import (
    BAD,
    ERROR_SHARE,
    GOOD,
    NOTE,
    WARN,
    cache,
    latency,
    reason_words,
    thresholds,
    words,
)
from grafana.panels import Words, link_to_backend
from grafana.promql import BACKENDS, ENGINES, POOLS, of_backends, of_engines, of_upstreams
from grafana.sdk import dashboard as sdk
from grafana.tables import Column, Label, rows

_ERRORS = thresholds(GOOD, (ERROR_SHARE, BAD))
_TO_BACKEND = [link_to_backend("${__data.fields.instance}")]


def lines() -> list[Line]:
    """The tables, the most urgent first."""
    return [Line(7, [_alerts(), _models()]), Line(10, [_backends()])]


def _alerts() -> sdk.Panel:
    said = Words(
        title="Alerts firing",
        about="ALERTS that fire, and since when (ALERTS_FOR_STATE). Normal: empty. Each alert has a"
        " page of the same name in docs/runbook/. The heartbeat Watchdog is left out.",
        missing="No alert is firing",
    )
    fires = 'ALERTS{alertstate="firing",alertname!="Watchdog"}'
    since = f'ALERTS_FOR_STATE{{alertname!="Watchdog"}} * 1000 and ignoring (alertstate) {fires}'
    known = "alertname, severity, pool, backend, model_name, instance"
    severities = {
        "critical": ("critical", BAD),
        "warning": ("warning", WARN),
        "info": ("info", NOTE),
    }
    return rows(
        said,
        [
            Label(label="alertname", name="Alert", width=190),
            Label(label="severity", name="Severity", width=90, mappings=words(severities)),
            Label(label="pool", name="Pool", width=80),
            Label(label="backend", name="Backend"),
            Label(label="model_name", name="Model"),
            Label(label="instance", name="Instance", links=_TO_BACKEND),
        ],
        [Column(name="Since", expr=f"min by ({known}) ({since})", unit="dateTimeFromNow")],
        first_by="Severity",
    )


def _models() -> sdk.Panel:
    def of(metric: str, name: str, unit: str, limits: sdk.ThresholdsConfig | None = None) -> Column:
        # Aggregated also where there is one series: rows with a metric's name do not merge.
        expr = f"max by (job, model_name) ({metric}{{{ENGINES}}})"
        return Column(name=name, expr=expr, unit=unit, limits=limits)

    said = Words(
        title="Models",
        about="The recordings model:... by job and model. Normal: nothing waits, P95 below 2 s, KV"
        " cache below 85 %.",
        missing="No engine metrics: are engines scraped and rules/recording.yml loaded?",
    )
    return rows(
        said,
        [Label(label="model_name", name="Model"), Label(label="job", name="Job", width=90)],
        [
            of("model:requests_finished:rate5m", "Finished", "reqps"),
            of("model:requests_running:sum", "Running", "none"),
            of("model:requests_waiting:sum", "Waiting", "none", thresholds(GOOD, (1, WARN))),
            of("model:kv_cache_usage:max", "KV cache", "percentunit", cache()),
            of("model:output_tokens:rate1m", "Tokens", "si:tok/s"),
            of("model:ttft_seconds:p95_rate5m", "P95 TTFT", "s", latency()),
            of("model:ttft_slo_errors:ratio_rate5m", "Late", "percentunit", _ERRORS),
        ],
        first_by="P95 TTFT",
        falling=True,
    )


def _backends() -> sdk.Panel:
    def engine(metric: str, how: str = "sum") -> str:
        return of_engines(f"{how} by (instance) ({metric}{{{ENGINES}}})")

    reason = (
        f"max by (pool, backend, reason) (vllm_nginx_lb_backend_reason_info{{{POOLS}}})"
        f" * on (pool, backend) group_left (instance) {BACKENDS}"
    )
    said = Words(
        title="Backends",
        about="One row per backend of the controller, joined by vllm_nginx_lb_backend_info:"
        " reason (vllm_nginx_lb_backend_reason_info), weight"
        " (vllm_nginx_lb_backend_weight_desired), observed share"
        " (upstream:request_share:ratio_rate5m), and the engine's recordings backend:... . Two"
        " rows for one backend: two controllers disagree. A dash: not known, such as the engine"
        " of a backend whose scrape fails. Normal: reason policy, share near the share of the"
        " weights. Click an instance to open it. Narrow it by pool.",
        missing="No controller and no engine metrics: is Prometheus scraping them?",
    )
    share = "percentunit"
    return rows(
        said,
        [
            Label(label="pool", name="Pool", width=90),
            Label(label="backend", name="Backend"),
            Label(label="instance", name="Instance", links=_TO_BACKEND),
            Label(label="reason", name="Reason", mappings=reason_words()),
        ],
        [
            Column(name="", expr=reason, unit=""),
            Column(
                name="Weight", expr=of_backends("vllm_nginx_lb_backend_weight_desired"), unit="none"
            ),
            Column(name="Wanted", expr=of_backends("backend:weight_share:ratio"), unit=share),
            Column(
                name="Observed",
                expr=of_upstreams("upstream:request_share:ratio_rate5m"),
                unit=share,
            ),
            Column(name="Running", expr=engine("backend:requests_running:sum"), unit="none"),
            Column(
                name="Waiting",
                expr=engine("backend:requests_waiting:sum"),
                unit="none",
                limits=thresholds(GOOD, (1, WARN)),
            ),
            Column(
                name="KV cache",
                expr=engine("backend:kv_cache_usage:max", "max"),
                unit=share,
                limits=cache(),
                bar=True,
            ),
            Column(name="Tokens", expr=engine("backend:output_tokens:rate1m"), unit="si:tok/s"),
            Column(
                name="P95 TTFT",
                expr=engine("backend:ttft_seconds:p95_rate5m", "max"),
                unit="s",
                limits=latency(),
            ),
            Column(
                name="Errors",
                expr=engine("backend:request_errors:ratio_rate5m", "max"),
                unit=share,
                limits=_ERRORS,
            ),
        ],
        first_by="Backend",
    )
