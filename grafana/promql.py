"""Parts that several queries share: what a variable selects, and how the three sides are joined.

Engines are known by `job, instance, model_name`, the controller's backends by `pool, backend`, and
what Nginx logs by `pool, upstream`. `vllm_nginx_lb_backend_info` knows all of these of a backend.
"""

from grafana.looks import STATES

ENGINES = 'job=~"$job",model_name=~"$model"'
CHOSEN = f'{ENGINES},instance=~"$instance"'
POOLS = 'pool=~"$pool"'
# The exporter of this balancer's Nginx, among others that Prometheus may scrape.
OWN_NGINX = 'lb="vllm-nginx-lb"'

_INFO = "vllm_nginx_lb_backend_info"
# An engine that Prometheus never saw has no instance; the controller's own is not its name.
_OWN = '"instance", "$1", "engine_instance", "(.*)"'
_ALL_INFO = f"label_replace({_INFO}{{{POOLS}}}, {_OWN})"
_CHOSEN_INFO = f'label_replace({_INFO}{{{POOLS},engine_instance=~"$instance"}}, {_OWN})'


def _known_by(label: str, info: str) -> str:
    """One series per backend, also while several controllers disagree about it.

    Two would make the join an error, and the panel empty.
    """
    labels = ", ".join(dict.fromkeys(("pool", label, "backend", "instance")))
    return f"topk by (pool, {label}) (1, max by ({labels}) ({info}))"


BACKENDS = _known_by("backend", _ALL_INFO)
CHOSEN_BACKENDS = _known_by("backend", _CHOSEN_INFO)
_AS_UPSTREAM = '"upstream", "$1", "endpoint", "(.+)"'
UPSTREAMS = _known_by("upstream", f"label_replace({_ALL_INFO}, {_AS_UPSTREAM})")
CHOSEN_UPSTREAMS = _known_by("upstream", f"label_replace({_CHOSEN_INFO}, {_AS_UPSTREAM})")


def of_backends(metric: str, backends: str = BACKENDS) -> str:
    """What the controller says of a backend, with the instance label of its engine.

    Args:
        metric: Its name, with matchers in braces or without.
        backends: Those to show.
    """
    name, _, matchers = metric.rstrip("}").partition("{")
    selector = ",".join(filter(None, (POOLS, matchers)))
    return (
        f"max by (pool, backend) ({name}{{{selector}}})"
        f" * on (pool, backend) group_left (instance) {backends}"
    )


def of_upstreams(metric: str, upstreams: str = UPSTREAMS) -> str:
    """What Nginx logged of a backend, by backend and instance."""
    return (
        f"sum by (pool, backend, instance) ({metric}{{{POOLS}}}"
        f" * on (pool, upstream) group_left (backend, instance) {upstreams})"
    )


def of_engines(by_instance: str) -> str:
    """What an engine says of itself, by pool and backend; by instance where no controller is."""
    return f"{by_instance} * on (instance) group_right () {BACKENDS} or on () {by_instance}"


def state(info: str) -> str:
    """The code of the state of each backend; of controllers that disagree, the gravest.

    Args:
        info: The reasons, with a place `{reasons}` for the matcher of the label `reason`.
    """
    return " or ".join(
        f"{code} * " + info.replace("{reasons}", f'reason=~"{"|".join(STATES[code][2])}"')
        for code in sorted(STATES, reverse=True)
    )


def quantile(share: float, buckets: str) -> str:
    """A quantile where there was anything to measure: the comparison drops NaN."""
    return f"histogram_quantile({share:g}, {buckets}) >= 0"


def either(by: str, vllm: str, sglang: str) -> str:
    """A sum from vLLM's series, or from SGLang's where an instance has none of these."""
    return f"sum by ({by}) ({vllm}) or sum by ({by}) ({sglang})"


def rate(series: str, selector: str) -> str:
    """A rate over the window that Grafana finds fit."""
    return f"rate({series}{{{selector}}}[$__rate_interval])"


def one_engine(vllm: str, sglang: str) -> str:
    """Buckets of vLLM, or of SGLang where nothing of vLLM is chosen: their bounds differ."""
    return f"{vllm} or ({sglang} unless on () {vllm})"
