"""Backend drill-down: what one engine does, and what the controller makes of it."""

from grafana import frame
from grafana.boards.backend_requests import errors, finished, heats, latencies, lengths, prefix
from grafana.layout import Line, Section
from grafana.looks import BAD, CACHE_FULL, IDLE, LEARNED, NOTE, WARN, line, state_words
from grafana.panels import DASHED, NO_FILL, STEPS, Ask, Words, coloured
from grafana.promql import (
    CHOSEN,
    CHOSEN_BACKENDS,
    CHOSEN_UPSTREAMS,
    POOLS,
    of_backends,
    of_upstreams,
    state,
)
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph, timeline

_NO_ENGINE = "No engine metrics: is the instance scraped, and did it answer?"
_NO_CONTROLLER = "The controller does not know this instance, or is not scraped"


def build() -> sdk.Dashboard:
    """The dashboard."""
    return frame.dashboard(
        "lb-backend",
        "What an engine does, how its clients are served, what the controller makes of it.",
        [frame.job(), frame.model(), frame.instance(), frame.pool()],
        [
            Section("Weight", [Line(5, [_states()]), Line(8, [_weight(), _share(), _age()])]),
            Section(
                "Engine",
                [
                    Line(8, [_running(), _waiting(), _cache()]),
                    Line(8, [_tokens(), _preemptions(), prefix()]),
                ],
            ),
            Section("Latency", [Line(8, latencies()), Line(8, heats())]),
            Section("Requests", [Line(8, [finished(), errors(), lengths()])]),
        ],
    )


def _states() -> sdk.Panel:
    info = "max by (pool, backend) (vllm_nginx_lb_backend_reason_info{" + POOLS + ",{reasons}})"
    joined = f"({state(info)}) * on (pool, backend) group_left (instance) {CHOSEN_BACKENDS}"
    said = Words(
        title="State",
        about="vllm_nginx_lb_backend_reason_info, its reasons put into words. Normal: serving."
        " vllm-nginx-lb explain BACKEND says which signal led to it.",
        missing=_NO_CONTROLLER,
    )
    return timeline(said, Ask(joined, "{{pool}} {{backend}}"), mappings=state_words())


def _weight() -> sdk.Panel:
    said = Words(
        title="Weight: wanted (dashed) and applied (solid)",
        about="vllm_nginx_lb_backend_weight_desired, and vllm_nginx_lb_backend_weight_applied,"
        " which Nginx confirmed. 0 is out. Normal: few steps, both lines equal but for a minute.",
        missing=_NO_CONTROLLER,
    )
    wanted = of_backends("vllm_nginx_lb_backend_weight_desired", CHOSEN_BACKENDS)
    applied = of_backends("vllm_nginx_lb_backend_weight_applied", CHOSEN_BACKENDS)
    return graph(
        said,
        Ask(wanted, "{{pool}} {{backend}} wanted", (DASHED, NO_FILL, STEPS)),
        Ask(applied, "{{pool}} {{backend}} applied", (NO_FILL, STEPS)),
        unit="none",
    )


def _share() -> sdk.Panel:
    said = Words(
        title="Share of requests: wanted (dashed) and observed (solid)",
        about="backend:weight_share:ratio and upstream:request_share:ratio_rate5m of the pool."
        " Normal: close; least_conn gives more to whoever answers faster.",
        missing="No shares: needs the controller, mtail and rules/recording.yml",
    )
    observed = of_upstreams("upstream:request_share:ratio_rate5m", CHOSEN_UPSTREAMS)
    wanted = of_backends("backend:weight_share:ratio", CHOSEN_BACKENDS)
    return graph(
        said,
        Ask(wanted, "{{pool}} {{backend}} wanted", (DASHED, NO_FILL)),
        Ask(observed, "{{pool}} {{backend}} observed", (NO_FILL,)),
        unit="percentunit",
        high=1,
    )


def _age() -> sdk.Panel:
    said = Words(
        title="Age of the oldest sample",
        about="vllm_nginx_lb_backend_sample_age_seconds, as the controller saw it. Normal: below"
        " two scrape intervals. Absent while the scrape fails; old samples are held, not acted"
        " on.",
        missing=_NO_CONTROLLER,
    )
    age = of_backends("vllm_nginx_lb_backend_sample_age_seconds", CHOSEN_BACKENDS)
    return graph(said, Ask(age, "{{pool}} {{backend}}", (NO_FILL,)), unit="s")


def _running() -> sdk.Panel:
    said = Words(
        title="Requests running, slots and limit",
        about="backend:requests_running:sum; vllm_nginx_lb_backend_slots, the sequences that it"
        " runs at once as learned; vllm_nginx_lb_backend_max_conns_applied, what Nginx lets in."
        " Normal: below the slots. At the slots, requests queue.",
        missing=_NO_ENGINE,
    )
    slots = of_backends("vllm_nginx_lb_backend_slots", CHOSEN_BACKENDS)
    limit = of_backends("vllm_nginx_lb_backend_max_conns_applied", CHOSEN_BACKENDS)
    return graph(
        said,
        Ask(f"backend:requests_running:sum{{{CHOSEN}}}", "{{instance}} running"),
        Ask(slots, "{{instance}} slots", (DASHED, NO_FILL, coloured(LEARNED))),
        Ask(limit, "{{instance}} limit in {{pool}}", (DASHED, NO_FILL, coloured(IDLE))),
        unit="none",
    )


def _waiting() -> sdk.Panel:
    said = Words(
        title="Requests waiting",
        about="backend:requests_waiting:sum, and what the controller saw of it"
        ' (vllm_nginx_lb_backend_signal{signal="waiting"}). Normal: 0. Waiting with nothing'
        " generated is an engine that stands still.",
        missing=_NO_ENGINE,
    )
    seen = of_backends('vllm_nginx_lb_backend_signal{signal="waiting"}', CHOSEN_BACKENDS)
    return graph(
        said,
        Ask(f"backend:requests_waiting:sum{{{CHOSEN}}}", "{{instance}}", (coloured(WARN),)),
        Ask(seen, "{{instance}} as seen in {{pool}}", (DASHED, NO_FILL, coloured(IDLE))),
        unit="none",
    )


def _cache() -> sdk.Panel:
    said = Words(
        title="KV cache used",
        about="backend:kv_cache_usage:max, that of the fullest engine of the instance. Normal:"
        " below 85 %. Near 100 % the engine preempts. KvSaturated fires above 97 % (dashed), or"
        " above 85 % while requests wait.",
        missing=_NO_ENGINE,
    )
    asked = Ask(f"backend:kv_cache_usage:max{{{CHOSEN}}}", "{{instance}}")
    return graph(said, asked, unit="percentunit", high=1, limits=line((CACHE_FULL, BAD)))


def _tokens() -> sdk.Panel:
    said = Words(
        title="Tokens generated and learned capacity",
        about="backend:output_tokens:rate1m, and vllm_nginx_lb_backend_capacity_tokens_per_second,"
        " which it generates with all slots taken as learned. Normal: below the capacity. At the"
        " capacity it is full; far below it with requests waiting it is ill or throttled.",
        missing=_NO_ENGINE,
    )
    capacity = of_backends("vllm_nginx_lb_backend_capacity_tokens_per_second", CHOSEN_BACKENDS)
    return graph(
        said,
        Ask(f"backend:output_tokens:rate1m{{{CHOSEN}}}", "{{instance}}"),
        Ask(capacity, "{{instance}} capacity", (DASHED, NO_FILL, coloured(LEARNED))),
        unit="si:tok/s",
    )


def _preemptions() -> sdk.Panel:
    said = Words(
        title="Preemptions",
        about="backend:preemptions:rate5m: requests put back for want of KV cache, their work"
        " thrown away. SGLang calls it retraction. Normal: 0.",
        missing=_NO_ENGINE,
    )
    asked = Ask(f"backend:preemptions:rate5m{{{CHOSEN}}}", "{{instance}}", (coloured(NOTE),))
    return graph(said, asked, unit="cps")
