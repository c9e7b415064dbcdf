"""What the controller knows and wants of each pool."""

from grafana.layout import Line
from grafana.looks import BAD, GOOD, WARN, words
from grafana.panels import DASHED, NO_FILL, STEPS, Ask, Words, drill_down
from grafana.promql import POOLS, of_backends
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph, timeline
from grafana.tables import Column, Label, rows

_OURS = "vllm_nginx_lb_"
_ABSENT = "No controller metrics: is vllm-nginx-lb scraped?"
_NAME = "{{pool}} {{backend}}"
_POOL_STATES = {
    "0": ("acting", GOOD),
    "1": ("fail-safe", WARN),
    "2": ("neutral", WARN),
    "3": ("panic", BAD),
}


def lines() -> list[Line]:
    """All panels of pools."""
    return [
        Line(5, [_states(), _counts()], [12, 12]),
        Line(8, [_weights(), _learned(), _limits(), _ages()]),
    ]


def _states() -> sdk.Panel:
    said = Words(
        title="State of each pool",
        about="vllm_nginx_lb_pool_panic, vllm_nginx_lb_pool_neutral and vllm_nginx_lb_pool_blind."
        " Normal: acting. fail-safe: weights are held, its signals are not fit to act on; neutral:"
        " for so long that weights went back to what was learned; panic: the ill serve too.",
        missing=_ABSENT,
    )
    worst = " or ".join(
        f"(max by (pool) ({_OURS}{metric}{{{POOLS}}}) > 0) * {code}"
        for code, metric in ((3, "pool_panic"), (2, "pool_neutral"), (1, "pool_blind"))
    )
    expr = f"{worst} or 0 * max by (pool) ({_OURS}pool_blind{{{POOLS}}})"
    return timeline(said, Ask(expr, "{{pool}}"), mappings=words(_POOL_STATES))


def _counts() -> sdk.Panel:
    said = Words(
        title="Backends by reason",
        about="vllm_nginx_lb_backends: how many have their weight for which reason, and"
        " vllm_nginx_lb_pool_ignored_instances. Normal: all by policy, none ignored.",
        missing=_ABSENT,
    )
    return graph(
        said,
        Ask(f"max by (pool, reason) ({_OURS}backends{{{POOLS}}})", "{{pool}} {{reason}}"),
        Ask(
            f"max by (pool) ({_OURS}pool_ignored_instances{{{POOLS}}}) > 0",
            "{{pool}} ignored",
            (NO_FILL, DASHED),
        ),
        unit="none",
        stacked=True,
    )


def _weights() -> sdk.Panel:
    said = Words(
        title="Weights: wanted (dashed) and applied (solid)",
        about="vllm_nginx_lb_backend_weight_desired, and vllm_nginx_lb_backend_weight_applied,"
        " which Nginx confirmed. Normal: few steps; dashed lines lead by a minute at most, but"
        " within the dead-band they may differ for long.",
        missing=_ABSENT,
    )
    return graph(
        said,
        Ask(
            of_backends(f"{_OURS}backend_weight_desired"),
            f"{_NAME} wanted",
            (DASHED, NO_FILL, STEPS),
        ),
        Ask(of_backends(f"{_OURS}backend_weight_applied"), f"{_NAME} applied", (NO_FILL, STEPS)),
        unit="none",
        links=drill_down(),
    )


def _learned() -> sdk.Panel:
    said = Words(
        title="Learned capacity",
        about="vllm_nginx_lb_backend_capacity_tokens_per_second: what a backend generates with all"
        " slots taken, as the policy capacity learned it. Normal: steady; it falls when a GPU"
        " throttles.",
        missing="Nothing learned yet, or the policy learns nothing",
    )
    expr = of_backends(f"{_OURS}backend_capacity_tokens_per_second")
    return graph(said, Ask(expr, _NAME, (NO_FILL,)), unit="si:tok/s", links=drill_down())


def _limits() -> sdk.Panel:
    said = Words(
        title="Learned slots and applied limit",
        about="vllm_nginx_lb_backend_slots: sequences that a backend runs at once, as learned."
        " Dashed: vllm_nginx_lb_backend_max_conns_applied, what Nginx lets in, where limits are on."
        " Normal: steady.",
        missing="Nothing learned yet, or the policy learns nothing",
    )
    return graph(
        said,
        Ask(of_backends(f"{_OURS}backend_slots"), f"{_NAME} slots", (NO_FILL,)),
        Ask(
            of_backends(f"{_OURS}backend_max_conns_applied"),
            f"{_NAME} limit",
            (DASHED, NO_FILL, STEPS),
        ),
        unit="none",
        links=drill_down(),
    )


def _ages() -> sdk.Panel:
    said = Words(
        title="Age of the oldest sample, by backend",
        about="vllm_nginx_lb_backend_sample_age_seconds. Normal: below two scrape intervals.",
        missing=_ABSENT,
    )
    expr = of_backends(f"{_OURS}backend_sample_age_seconds")
    return graph(said, Ask(expr, _NAME, (NO_FILL,)), unit="s", links=drill_down())


def generations() -> sdk.Panel:
    """Which upstream file is wanted, confirmed and served."""
    said = Words(
        title="Generations",
        about="vllm_nginx_lb_generation_info: the upstream file that is wanted, that Nginx"
        " confirmed last, and that it serves. Normal: confirmed and served are the same; wanted"
        " differs within the dead-band.",
        missing=_ABSENT,
    )
    return rows(
        said,
        [
            Label(label="instance", name="Controller"),
            Label(label="kind", name="Kind", width=80),
            Label(label="generation", name="Generation"),
        ],
        [
            Column(
                name="Known",
                expr=f"max by (instance, kind, generation) ({_OURS}generation_info)",
                unit="none",
            )
        ],
        first_by="Kind",
    )
