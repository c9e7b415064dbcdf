"""What Nginx says of itself and in its access log."""

from grafana.layout import Line
from grafana.looks import BAD, GOOD, NOTE, SLO_LATENCY_S, WARN, line
from grafana.panels import NO_FILL, Ask, Words, coloured
from grafana.promql import OWN_NGINX, POOLS, quantile, rate
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph, heat

_NO_LOG = "No access-log metrics: is mtail running and scraped?"
_NO_EXPORTER = "No nginx_connections_* with the label lb: is nginx-prometheus-exporter scraped?"


def lines() -> list[Line]:
    """All panels of Nginx."""
    return [
        Line(8, [_requests(), _codes(), _failures(), _connections()]),
        Line(8, [_header(), _whole(), _heat(), _dropped()]),
    ]


def _requests() -> sdk.Panel:
    said = Words(
        title="Client requests by status",
        about="nginx_lb_requests_total by code. Normal: 200, some 4xx of clients. 502: no backend"
        " could be reached; 503: shed, all were full; 504: a backend was silent.",
        missing=_NO_LOG,
    )
    expr = f"sum by (code) ({rate('nginx_lb_requests_total', POOLS)}) > 0"
    return graph(said, Ask(expr, "{{code}}"), unit="reqps", stacked=True)


def _codes() -> sdk.Panel:
    said = Words(
        title="Failed tries, by backend and status",
        about="nginx_lb_upstream_responses_total with 5xx or none (nothing was answered), one per"
        " try. Normal: none. A retry may have saved the request: compare with the status of"
        " clients.",
        missing="No failed try in this time, or mtail is not scraped",
    )
    failed = rate("nginx_lb_upstream_responses_total", f'{POOLS},code=~"5..|none"')
    expr = f"sum by (pool, upstream, code) ({failed}) > 0"
    return graph(said, Ask(expr, "{{upstream}} {{code}}", (NO_FILL,)), unit="reqps")


def _failures() -> sdk.Panel:
    names = {
        "nginx_lb_retries_total": ("retries", WARN),
        "nginx_lb_shed_total": ("shed", NOTE),
        "nginx_lb_broken_total": ("broken off", BAD),
    }
    said = Words(
        title="Retries, shed, broken off",
        about="nginx_lb_retries_total: tries beyond the first; nginx_lb_shed_total: turned away,"
        " all backends were full; nginx_lb_broken_total: did not complete, a client went away or"
        " a stream was cut; nginx_lb_unparsed_total: log lines that mtail did not understand."
        " Normal: near 0.",
        missing=_NO_LOG,
    )
    asked = [
        Ask(f"sum({rate(metric, POOLS)})", name, (coloured(color), NO_FILL))
        for metric, (name, color) in names.items()
    ]
    lost = Ask(
        "sum(rate(nginx_lb_unparsed_total[$__rate_interval]))", "lines not parsed", (NO_FILL,)
    )
    return graph(said, *asked, lost, unit="reqps")


def _connections() -> sdk.Panel:
    said = Words(
        title="Connections",
        about="nginx_connections_active, of these nginx_connections_writing (answers under way,"
        " which is where streams are), nginx_connections_reading and nginx_connections_waiting"
        " (idle). Normal: writing follows the requests that run.",
        missing=_NO_EXPORTER,
    )
    asked = [
        Ask(f"sum(nginx_connections_{what}{{{OWN_NGINX}}})", what, (NO_FILL,))
        for what in ("active", "writing", "reading", "waiting")
    ]
    return graph(said, *asked, unit="none")


def _header() -> sdk.Panel:
    buckets = of_buckets("nginx_lb_upstream_header_seconds_bucket")
    said = Words(
        title="Time to the first byte, by backend",
        about="Quantiles of nginx_lb_upstream_header_seconds_bucket, as Nginx waits for it: of"
        " streams the time to the first token, of other answers the whole. Normal: P95 below 2.5"
        " s (dashed). Far above what the engine itself says: the network or the front-end of the"
        " engine.",
        missing=_NO_LOG,
    )
    asked = [
        Ask(quantile(share, buckets), f"{{{{pool}}}} {{{{upstream}}}} {name}", (NO_FILL,))
        for share, name in ((0.5, "P50"), (0.95, "P95"))
    ]
    return graph(said, *asked, unit="s", limits=line((SLO_LATENCY_S, BAD)))


def _whole() -> sdk.Panel:
    said = Words(
        title="Time of whole answers, P95, by backend",
        about="nginx_lb_upstream_response_seconds_bucket of the last try, and of clients"
        " nginx_lb_request_seconds_bucket. Normal: alike among alike backends.",
        missing=_NO_LOG,
    )
    of_clients = f"sum by (pool, le) ({rate('nginx_lb_request_seconds_bucket', POOLS)})"
    buckets = of_buckets("nginx_lb_upstream_response_seconds_bucket")
    return graph(
        said,
        Ask(quantile(0.95, buckets), "{{pool}} {{upstream}}", (NO_FILL,)),
        Ask(quantile(0.95, of_clients), "{{pool}} clients", (NO_FILL, coloured("text"))),
        unit="s",
    )


def of_buckets(metric: str) -> str:
    """Buckets by backend."""
    return f"sum by (pool, upstream, le) ({rate(metric, POOLS)})"


def _heat() -> sdk.Panel:
    said = Words(
        title="Time to the first byte, all requests",
        about="nginx_lb_upstream_header_seconds_bucket, vLLM and SGLang alike. Normal: one band"
        " below 2.5 s.",
        missing=_NO_LOG,
    )
    metric = "nginx_lb_upstream_header_seconds_bucket"
    return heat(said, f"sum by (le) ({rate(metric, POOLS)})", unit="s")


def _dropped() -> sdk.Panel:
    said = Words(
        title="Requests and dropped connections, all of Nginx",
        about="nginx_http_requests_total, and nginx_connections_accepted less"
        " nginx_connections_handled: connections that were dropped for want of"
        " worker_connections. Normal: none dropped.",
        missing=_NO_EXPORTER,
    )
    accepted, handled, requests = (
        f"sum(rate(nginx_{what}{{{OWN_NGINX}}}[$__rate_interval]))"
        for what in ("connections_accepted", "connections_handled", "http_requests_total")
    )
    return graph(
        said,
        Ask(requests, "requests", (coloured(GOOD), NO_FILL)),
        Ask(f"clamp_min({accepted} - {handled}, 0)", "dropped connections", (coloured(BAD),)),
        unit="reqps",
    )
