"""What each incident must show: alerts that fire, and panels on which a person sees it."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

# How long after its cause an alert may go on, in minutes: its ranges are five minutes at most.
LINGERS_MIN = 8.0
# The objective is judged over hours, so whoever burns the budget is told of it for hours.
OBJECTIVE = frozenset({"TtftBurnFast", "TtftBurnSlow"})

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_STATE = "State of each backend"
_SHARE = "Share of requests: wanted (dashed) and observed (solid)"
_WANTED, _OBSERVED = "A", "B"


@dataclass(frozen=True, slots=True)
class Told:
    """Alerts of an incident: those that must fire, each with labels, and others that may."""

    must: tuple[tuple[str, Mapping[str, str]], ...] = ()
    may: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sign:
    """A value that a panel shows during an incident, and did not show before.

    Attributes:
        incident: Its name.
        board: The dashboard.
        title: The panel, or the annotation.
        ref: The query of the panel; "" for an annotation.
        labels: Of the series.
        shows: What the value is, such as "> 5", or "any" for a series that was not there before.
    """

    incident: str
    board: str
    title: str
    ref: str
    labels: Mapping[str, str]
    shows: str

    def holds(self, value: float) -> bool:
        """Whether this value is what is looked for."""
        if self.shows == "any":
            return True
        comparison, bound = self.shows.split()
        return _COMPARISONS[comparison](value, float(bound))


TOLD: Mapping[str, Told] = MappingProxyType(
    {
        # The controller sees to it; nobody has to get up.
        "throttle": Told(may=frozenset({"BackendLatencyHigh"})),
        "kv-full": Told(
            (("KvSaturated", {"instance": "10.0.0.13:8000"}),),
            may=frozenset({"QueueTimeHigh", "PreemptionStorm"}),
        ),
        "stalled": Told((("BackendStalled", {"instance": "10.0.0.11:8000"}),)),
        "black-hole": Told(
            (
                ("BackendErrorRatio", {"instance": "10.0.0.14:8000"}),
                ("NginxErrorRatio", {"pool": "llm"}),
            ),
            may=frozenset({"BlackHole"}),
        ),
        "down": Told((("BackendDown", {"instance": "10.0.0.12:8000"}),)),
        "blind": Told(
            (("ControllerFailSafe", {"pool": "llm"}), ("ControllerFailSafe", {"pool": "qwen"}))
        ),
        "refused": Told((("NginxReloadFailing", {}),)),
        # Reloads fail here, too, as they did shortly before.
        "drift": Told((("ConfigDrift", {}),), may=frozenset({"NginxReloadFailing"})),
        "overload": Told((("RequestsShed", {"pool": "llm"}),)),
        "burn": Told(
            (
                ("TtftBurnFast", {"model_name": "qwen"}),
                ("TtftBurnSlow", {"model_name": "qwen"}),
                ("ModelCapacityExhausted", {"model_name": "qwen"}),
                ("QueueTimeHigh", {"model_name": "qwen"}),
            )
        ),
        "slow-sglang": Told((("BackendLatencyHigh", {"instance": "sglang-1:30000"}),)),
    }
)

_A, _B = {"backend": "10.0.0.11:8000"}, {"backend": "10.0.0.12:8000"}
_C, _D = {"backend": "10.0.0.13:8000"}, {"backend": "10.0.0.14:8000"}
_SLOW = {"backend": "sglang-1:30000"}
_OF_A, _OF_B, _OF_C, _OF_D = ({"instance": f"10.0.0.{last}:8000"} for last in (11, 12, 13, 14))
_LLM, _QWEN, _QWEN_MODEL = {"pool": "llm"}, {"pool": "qwen"}, {"model_name": "qwen"}
_FLEET, _BACKEND, _CONTROLLER = "lb-fleet", "lb-backend", "lb-controller"

SIGNS = (
    # The weight falls, and the requests follow it.
    Sign("throttle", _FLEET, _SHARE, _WANTED, _B, "< 0.17"),
    Sign("throttle", _FLEET, _SHARE, _OBSERVED, _B, "< 0.15"),
    Sign("throttle", _FLEET, "Backends", "B", _B, "< 60"),
    Sign("throttle", _BACKEND, "Time between tokens", "B", _OF_B, "> 0.09"),
    Sign("throttle", _CONTROLLER, "Learned capacity", "A", _B, "< 450"),
    Sign("throttle", _FLEET, "Weights changed", "", _LLM, "any"),
    # The cache is full, requests are put back and wait, and fewer are sent.
    Sign("kv-full", _FLEET, "KV cache used, by backend", "A", _OF_C, "> 0.9"),
    Sign("kv-full", _BACKEND, "Preemptions", "A", _OF_C, "> 0.02"),
    Sign("kv-full", _BACKEND, "Requests waiting", "A", _OF_C, "> 1"),
    Sign("kv-full", _BACKEND, "Weight: wanted (dashed) and applied (solid)", "B", _C, "< 50"),
    Sign("kv-full", _CONTROLLER, "Learned slots and applied limit", "A", _C, "< 20"),
    # It is taken out for what its gauges hide.
    Sign("stalled", _FLEET, _STATE, "A", _A, "== 10"),
    Sign("stalled", _BACKEND, "State", "A", _A, "== 10"),
    Sign("stalled", _BACKEND, "Tokens generated and learned capacity", "A", _OF_A, "< 1"),
    Sign("stalled", _FLEET, _SHARE, _OBSERVED, _A, "< 0.03"),
    Sign("stalled", _FLEET, "Backends serving", "A", {}, "< 7"),
    Sign("stalled", _CONTROLLER, "Retries, shed, broken off", "C", {}, "> 0.2"),
    Sign("stalled", _CONTROLLER, "Backends by reason", "A", {"reason": "ejected_stalled"}, "> 0"),
    # It draws requests, answers all with errors, and is taken out.
    Sign("black-hole", _FLEET, "Observed share minus wanted share", "A", _D, "> 0.2"),
    Sign("black-hole", _FLEET, _STATE, "A", _D, "== 11"),
    Sign("black-hole", _BACKEND, "Server errors", "A", _OF_D, "> 0.5"),
    Sign("black-hole", _FLEET, "Server errors and shed requests", "A", _LLM, "> 0.1"),
    Sign("black-hole", _CONTROLLER, "Client requests by status", "A", {"code": "500"}, "> 0.5"),
    # Gone: no scrape, no samples, tries that fail, and nobody is taken out for it.
    Sign("down", _CONTROLLER, "Scrapes", "A", {"job": "vllm"}, "< 1"),
    Sign("down", _FLEET, _STATE, "A", _B, "== 4"),
    Sign("down", _FLEET, _SHARE, _OBSERVED, _B, "< 0.05"),
    Sign("down", _CONTROLLER, "Retries, shed, broken off", "A", {}, "> 0.01"),
    Sign(
        *("down", _CONTROLLER, "Failed tries, by backend and status", "A"),
        *({"upstream": "10.0.0.12:8000", "code": "502"}, "> 0"),
    ),
    # The controller holds, and says why.
    Sign("blind", _CONTROLLER, "Pools in fail-safe", "A", {}, "> 1"),
    Sign("blind", _CONTROLLER, "State of each pool", "A", _QWEN, "> 0"),
    Sign("blind", _FLEET, _STATE, "A", _SLOW, "== 5"),
    Sign("blind", _FLEET, "Fail-safe", "", {"pool": "llm", "reason": "blind_source"}, "any"),
    Sign(
        *("blind", _CONTROLLER, "Faults of Prometheus and of the state file", "A"),
        *({"fault": "timed_out"}, "> 0"),
    ),
    # What is wanted and what is applied part.
    Sign("refused", _CONTROLLER, "Reloads by result", "A", {"result": "rejected"}, "> 0"),
    Sign("refused", _FLEET, "Reload failed", "", {"result": "rejected"}, "any"),
    Sign("refused", _CONTROLLER, "Weights: wanted (dashed) and applied (solid)", "A", _C, "< 60"),
    Sign("drift", _CONTROLLER, "Nginx in step", "A", {}, "< 1"),
    Sign("drift", _CONTROLLER, "Nginx in step, controllers up", "A", {}, "< 1"),
    Sign("drift", _CONTROLLER, "Reloads by result", "A", {"result": "unconfirmed"}, "> 0"),
    # Too much: turned away in one pool, queued in the other.
    Sign("overload", _FLEET, "Server errors and shed requests", "B", _LLM, "> 0.1"),
    Sign("overload", _CONTROLLER, "Retries, shed, broken off", "B", {}, "> 1"),
    Sign("overload", _CONTROLLER, "Client requests by status", "A", {"code": "503"}, "> 1"),
    Sign("overload", _FLEET, "Utilisation of each pool", "A", _LLM, "> 1"),
    Sign("burn", _FLEET, "Time to first token, by model", "A", _QWEN_MODEL, "> 10"),
    Sign("burn", _FLEET, "First tokens in time", "A", {}, "< 0.6"),
    Sign("burn", _FLEET, "Error budget burnt, by model", "A", _QWEN_MODEL, "> 14.4"),
    Sign("burn", _FLEET, "Requests waiting", "A", {}, "> 100"),
    Sign("burn", _FLEET, "Backends needed and serving", "A", _QWEN, "> 3"),
    Sign("burn", _BACKEND, "Time in the queue", "B", {"instance": "sglang-0:30000"}, "> 5"),
    Sign("slow-sglang", _FLEET, _SHARE, _WANTED, _SLOW, "< 0.25"),
    Sign("slow-sglang", _FLEET, _SHARE, _OBSERVED, _SLOW, "< 0.2"),
    Sign("slow-sglang", _CONTROLLER, "Learned capacity", "A", _SLOW, "< 400"),
    Sign(
        "slow-sglang", _BACKEND, "Time between tokens", "B", {"instance": _SLOW["backend"]}, "> 0.1"
    ),
)
