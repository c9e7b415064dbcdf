"""Controller and Nginx: does the machinery itself work."""

from grafana import frame
from grafana.boards import controller_now, controller_pools, monitoring, nginx
from grafana.layout import Line, Section
from grafana.looks import BAD, GOOD, WARN
from grafana.panels import DASHED, NO_FILL, Ask, Words, coloured
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph

_OURS = "vllm_nginx_lb_"
_ABSENT = "No controller metrics: is vllm-nginx-lb scraped?"


def build() -> sdk.Dashboard:
    """The dashboard."""
    return frame.dashboard(
        "lb-controller",
        "Does the controller tick, does Nginx serve what it wants, do the alarms themselves work.",
        [frame.pool()],
        [
            Section("Now", [Line(4, controller_now.figures())]),
            Section("Ticks", [Line(8, [_ticks(), _durations(), _sources(), _ages()])]),
            Section("Pools", controller_pools.lines()),
            Section(
                "Reloads",
                [Line(8, [_reloads(), _workers(), _sync(), controller_pools.generations()])],
            ),
            Section("Nginx", nginx.lines()),
            Section("Monitoring itself", monitoring.lines()),
        ],
    )


def _ticks() -> sdk.Panel:
    said = Words(
        title="Ticks by result",
        about="vllm_nginx_lb_ticks_total by result and reason, with"
        " vllm_nginx_lb_ticks_skipped_total (the last one still ran) and"
        " vllm_nginx_lb_ticks_crashed_total. Normal: one steady rate of ticks that change"
        " nothing.",
        missing=_ABSENT,
    )
    skipped, crashed = (
        f"sum(rate({_OURS}ticks_{what}_total[$__rate_interval]))" for what in ("skipped", "crashed")
    )
    return graph(
        said,
        Ask(
            f"sum by (result, reason) (rate({_OURS}ticks_total[$__rate_interval])) > 0",
            "{{result}}: {{reason}}",
        ),
        Ask(skipped, "skipped", (coloured(WARN),)),
        Ask(crashed, "crashed", (coloured(BAD),)),
        unit="cps",
        stacked=True,
    )


def _durations() -> sdk.Panel:
    said = Words(
        title="Time per tick, P95",
        about="vllm_nginx_lb_tick_duration_seconds_bucket; of it asking Prometheus"
        " (vllm_nginx_lb_query_duration_seconds_bucket) and, where a file was pushed, until Nginx"
        " confirmed it (vllm_nginx_lb_apply_duration_seconds_bucket). Dashed:"
        " vllm_nginx_lb_tick_interval_seconds. Normal: queries below 0.1 s, applying below 1 s.",
        missing=_ABSENT,
    )
    asked = [
        Ask(
            f"histogram_quantile(0.95, sum by (le)"
            f" (rate({_OURS}{what}_duration_seconds_bucket[$__rate_interval]))) >= 0",
            name,
            (NO_FILL,),
        )
        for what, name in {
            "tick": "whole tick",
            "query": "asking Prometheus",
            "apply": "applying",
        }.items()
    ]
    limit = Ask(
        f"min({_OURS}tick_interval_seconds)", "interval", (DASHED, NO_FILL, coloured("text"))
    )
    return graph(said, *asked, limit, unit="s")


def _sources() -> sdk.Panel:
    said = Words(
        title="Faults of Prometheus and of the state file",
        about="vllm_nginx_lb_source_errors_total by fault: ticks in which Prometheus gave no usable"
        " answer; vllm_nginx_lb_state_write_errors_total: what was learned could not be saved."
        " Dashed, for scale: vllm_nginx_lb_prometheus_requests_total, two per tick. Normal: no"
        " faults.",
        missing=_ABSENT,
    )
    return graph(
        said,
        Ask(f"sum by (fault) (rate({_OURS}source_errors_total[$__rate_interval]))", "{{fault}}"),
        Ask(f"sum(rate({_OURS}state_write_errors_total[$__rate_interval]))", "state not saved"),
        Ask(
            f"sum(rate({_OURS}prometheus_requests_total[$__rate_interval]))",
            "requests to Prometheus",
            (DASHED, NO_FILL, coloured("text")),
        ),
        unit="cps",
    )


def _ages() -> sdk.Panel:
    said = Words(
        title="Time since",
        about="The last tick (vllm_nginx_lb_last_tick_timestamp_seconds) and the last answer of"
        " Prometheus (vllm_nginx_lb_last_observed_timestamp_seconds), the oldest of all"
        " controllers. Normal: a low saw-tooth below two intervals.",
        missing=_ABSENT,
    )
    return graph(
        said,
        Ask(f"time() - min({_OURS}last_tick_timestamp_seconds)", "last tick", (NO_FILL,)),
        Ask(
            f"time() - min({_OURS}last_observed_timestamp_seconds)",
            "last answer of Prometheus",
            (NO_FILL,),
        ),
        unit="s",
    )


def _reloads() -> sdk.Panel:
    said = Words(
        title="Reloads by result",
        about="vllm_nginx_lb_reloads_total: one reload is a block as wide as the window of rates,"
        " and about 1 high. Normal: few, all confirmed. rejected: nginx -t refuses the file;"
        " unconfirmed: Nginx was told, and serves something else; unreachable: Nginx does not"
        " answer; unsafe: the file cannot be swapped safely.",
        missing=_ABSENT,
    )
    bars = ("custom.drawStyle", "bars")
    asked = f"sum by (result) (increase({_OURS}reloads_total[$__rate_interval]))"
    return graph(said, Ask(asked, "{{result}}", (bars,)), unit="none", stacked=True)


def _workers() -> sdk.Panel:
    said = Words(
        title="Nginx workers",
        about="vllm_nginx_lb_nginx_live_workers accept connections;"
        " vllm_nginx_lb_nginx_lingering_workers are of older configurations and finish their"
        " streams. Normal: some linger for as long as answers take.",
        missing="Workers are counted only where controller and Nginx share a host",
    )
    return graph(
        said,
        Ask(f"sum({_OURS}nginx_live_workers)", "live", (coloured(GOOD),)),
        Ask(f"sum({_OURS}nginx_lingering_workers)", "lingering", (coloured(WARN),)),
        unit="none",
    )


def _sync() -> sdk.Panel:
    said = Words(
        title="Nginx in step, controllers up",
        about="vllm_nginx_lb_in_sync, the worst, and the number of controllers that answer"
        " (vllm_nginx_lb_build_info). Normal: 1, and as many as Nginx replicas.",
        missing=_ABSENT,
    )
    steps = ("custom.lineInterpolation", "stepAfter")
    return graph(
        said,
        Ask(f"min({_OURS}in_sync)", "in step", (coloured(GOOD), steps)),
        Ask(f"count by (version) ({_OURS}build_info)", "controllers {{version}}", (NO_FILL, steps)),
        unit="none",
    )
