"""The figures at the top of the controller's dashboard."""

from grafana.looks import BAD, GOOD, STALE_S, WARN, thresholds, yes_no
from grafana.panels import Ask, Words
from grafana.promql import OWN_NGINX, POOLS
from grafana.sdk import dashboard as sdk
from grafana.shapes import figure

_OURS = "vllm_nginx_lb_"
_ABSENT = "No controller metrics: is vllm-nginx-lb scraped?"


def figures() -> list[sdk.Panel]:
    """What holds now."""
    late = thresholds(GOOD, (STALE_S, BAD))
    return [
        figure(
            Words(
                title="Last tick ended",
                about="Time since vllm_nginx_lb_last_tick_timestamp_seconds, of the slowest"
                " controller. Normal: below vllm_nginx_lb_tick_interval_seconds (10 s unless"
                " set); ControllerStale fires after 30 s and five of them.",
                missing=_ABSENT,
            ),
            Ask(f"time() - min({_OURS}last_tick_timestamp_seconds)"),
            unit="s",
            limits=late,
        ),
        figure(
            Words(
                title="Nginx in step",
                about="vllm_nginx_lb_in_sync: Nginx serves the generation confirmed last. Normal:"
                " yes.",
                missing=_ABSENT,
            ),
            Ask(f"min({_OURS}in_sync)"),
            unit="none",
            mappings=yes_no("yes", "no", good=True),
        ),
        figure(
            Words(
                title="Pools in fail-safe",
                about="vllm_nginx_lb_pool_blind with a reason: the pool's signals are not fit to"
                " act on, so its weights are held. Normal: 0.",
                missing=_ABSENT,
            ),
            Ask(f"sum(max by (pool) ({_OURS}pool_blind{{{POOLS}}}))"),
            unit="none",
            limits=thresholds(GOOD, (1, BAD)),
        ),
        figure(
            Words(
                title="Pools in panic",
                about="vllm_nginx_lb_pool_panic: so many backends are ill that the ill serve too."
                " Normal: 0.",
                missing=_ABSENT,
            ),
            Ask(f"sum(max by (pool) ({_OURS}pool_panic{{{POOLS}}}))"),
            unit="none",
            limits=thresholds(GOOD, (1, BAD)),
        ),
        figure(
            Words(
                title="Instances ignored",
                about="vllm_nginx_lb_pool_ignored_instances: they match a pool's selector but are"
                " no backend of it, so they idle. Normal: 0.",
                missing=_ABSENT,
            ),
            Ask(f"sum(max by (pool) ({_OURS}pool_ignored_instances{{{POOLS}}}))"),
            unit="none",
            limits=thresholds(GOOD, (1, WARN)),
        ),
        figure(
            Words(
                title="Last reload",
                about="Time since vllm_nginx_lb_last_confirmed_timestamp_seconds. Normal: minutes"
                " to days; reloads are rare on purpose.",
                missing="No reload was confirmed yet, or the controller is not scraped",
            ),
            Ask(f"time() - max({_OURS}last_confirmed_timestamp_seconds)"),
            unit="s",
        ),
        figure(
            Words(
                title="Nginx up",
                about="nginx_up of nginx-prometheus-exporter, the worst. Normal: yes.",
                missing="No nginx_up with the label lb: is nginx-prometheus-exporter scraped?",
            ),
            Ask(f"min(nginx_up{{{OWN_NGINX}}})"),
            unit="none",
            mappings=yes_no("yes", "no", good=True),
        ),
    ]
