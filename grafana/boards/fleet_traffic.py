"""Where the traffic of the fleet goes, and what state its backends are in."""

from grafana.looks import BAD, CACHE_FULL, NOTE, SLO_OBJECTIVE, WARN, line, state_words
from grafana.panels import DASHED, NO_FILL, UNLISTED, Ask, Words, coloured, drill_down
from grafana.promql import (
    BACKENDS,
    ENGINES,
    POOLS,
    of_backends,
    of_upstreams,
    state,
)
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph, timeline

_BUDGET = 1 - SLO_OBJECTIVE
_PEAK = "model:ttft_seconds:p95_rate5m"
_REASON = "vllm_nginx_lb_backend_reason_info"
_NO_CONTROLLER = "No controller metrics: is vllm-nginx-lb scraped?"
_NO_ENGINES = "No engine metrics: are engines scraped and rules/recording.yml loaded?"
_NO_LOG = "No access-log metrics: is mtail running and scraped?"

# In percentage points: least_conn strays that far from the weights among unlike requests.
_GAP = 0.1


def proof() -> sdk.Panel:
    """What the controller wants against what Nginx does."""
    asked = of_upstreams("upstream:request_share:ratio_rate5m")
    said = Words(
        title="Share of requests: wanted (dashed) and observed (solid)",
        about="Dashed: backend:weight_share:ratio, a backend's part of the weights wanted in its"
        " pool. Solid: upstream:request_share:ratio_rate5m, its part of the requests that Nginx"
        " sent, joined by vllm_nginx_lb_backend_info. One colour is one backend. Normal: each"
        " solid line lies near its dashed one. That alone does not prove that the weights are in"
        " effect: least_conn sends less to a slower backend by itself. Whether Nginx has them,"
        " Weights and Nginx in step of Controller and Nginx say. A solid line at 0 beside a weight"
        " is a fault.",
        missing="No shares: needs the controller, mtail and rules/recording.yml",
    )
    return graph(
        said,
        Ask(
            of_backends("backend:weight_share:ratio"),
            "{{pool}} {{backend}}",
            (DASHED, NO_FILL, UNLISTED),
        ),
        Ask(asked, "{{pool}} {{backend}}", (NO_FILL,)),
        unit="percentunit",
        high=1,
        links=drill_down(),
    )


def gap() -> sdk.Panel:
    """The distance between both."""
    observed = of_upstreams("upstream:request_share:ratio_rate5m")
    wanted = of_backends("backend:weight_share:ratio")
    said = Words(
        title="Observed share minus wanted share",
        about="The distance of the lines on the left: upstream:request_share:ratio_rate5m less"
        " backend:weight_share:ratio. Above 0: gets more than its weight. Normal: within 10"
        " percentage points, beyond that for minutes only after a change.",
        missing="No shares: needs the controller, mtail and rules/recording.yml",
    )
    limits = line((-_GAP, "transparent"), (_GAP, WARN))
    return graph(
        said,
        Ask(
            f"({observed}) - on (pool, backend, instance) ({wanted})",
            "{{pool}} {{backend}}",
            (NO_FILL,),
        ),
        unit="percentunit",
        low=None,
        limits=limits,
        links=drill_down(),
    )


def states() -> sdk.Panel:
    """Why each backend has its weight."""
    said = Words(
        title="State of each backend",
        about="vllm_nginx_lb_backend_reason_info, its reasons put into words. Normal: serving, with"
        " a minute of entering after a start. Held: its weight stays because a signal is unusable."
        " Out: it gets no requests, for the reason named. Click a row to open the backend.",
        missing=_NO_CONTROLLER,
    )
    info = f"max by (pool, backend) ({_REASON}{{{POOLS},{{reasons}}}})"
    joined = f"({state(info)}) * on (pool, backend) group_left (instance) {BACKENDS}"
    return timeline(
        said, Ask(joined, "{{pool}} {{backend}}"), mappings=state_words(), links=drill_down()
    )


def load() -> sdk.Panel:
    """How many requests are there."""
    said = Words(
        title="Requests running and waiting",
        about="model:requests_running:sum and model:requests_waiting:sum. Normal: running follows"
        " the traffic, waiting stays near 0.",
        missing=_NO_ENGINES,
    )
    return graph(
        said,
        Ask(f"sum(model:requests_running:sum{{{ENGINES}}})", "running", (coloured(NOTE),)),
        Ask(f"sum(model:requests_waiting:sum{{{ENGINES}}})", "waiting", (coloured(WARN),)),
        unit="none",
    )


def tokens() -> sdk.Panel:
    """What the engines put out."""
    said = Words(
        title="Tokens generated, by model",
        about="model:output_tokens:rate1m. Normal: follows the requests that run.",
        missing=_NO_ENGINES,
    )
    asked = Ask(f"model:output_tokens:rate1m{{{ENGINES}}}", "{{model_name}} ({{job}})")
    return graph(said, asked, unit="si:tok/s")


def cache() -> sdk.Panel:
    """How full the engines are."""
    said = Words(
        title="KV cache used, by backend",
        about="backend:kv_cache_usage:max, that of the fullest engine of a backend. Normal: below"
        " 85 %, and alike among alike backends.",
        missing=_NO_ENGINES,
    )
    asked = Ask(f"backend:kv_cache_usage:max{{{ENGINES}}}", "{{instance}}", (NO_FILL,))
    limits = line((CACHE_FULL, BAD))
    return graph(said, asked, unit="percentunit", high=1, limits=limits, links=drill_down())


def errors() -> sdk.Panel:
    """What went wrong."""
    said = Words(
        title="Server errors and shed requests",
        about="Parts of the requests: pool:request_errors:ratio_rate5m (5xx that clients got),"
        " pool:shed:ratio_rate5m (turned away because all backends were full, part of the former),"
        " and the worst backend:request_errors:ratio_rate5m. Normal: 0.",
        missing=_NO_LOG,
    )
    return graph(
        said,
        Ask(f"pool:request_errors:ratio_rate5m{{{POOLS}}}", "{{pool}} errors", (coloured(BAD),)),
        Ask(f"pool:shed:ratio_rate5m{{{POOLS}}}", "{{pool}} shed", (coloured(WARN),)),
        Ask(f"max(backend:request_errors:ratio_rate5m{{{ENGINES}}})", "worst backend"),
        unit="percentunit",
    )
