"""The results of a finished bench as plain values: what real.json holds and real.md shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.real.figures import Request, figures, ratio, split, tokens_per_s
from bench.real.plan import RIVALS, Router, Run, Scenario
from bench.real.session import requests_of

# The controller has not seen much by then, and has at most once acted on it.
LEARNING_S = 20.0

# What is compared: where it stands in the figures of a router.
COMPARED = {
    "TTFT mean": ("all", "ttft_ms", "mean"),
    "TTFT P99": ("all", "ttft_ms", "p99"),
    "ITL mean": ("all", "itl_ms", "mean"),
    "ITL P99": ("all", "itl_ms", "p99"),
    "e2e mean": ("all", "e2e_s", "mean"),
    "e2e P99": ("all", "e2e_s", "p99"),
    "tokens/s": ("tokens_per_s",),
}
MORE_IS_BETTER = "tokens/s"

Record = Mapping[str, Any]


def results(plan: Sequence[Run], records: Mapping[str, Record]) -> dict[str, Any]:
    """Per load and router: the figures of each repeat and of all together, and the ratios."""
    found = {}
    for scenario in dict.fromkeys(run.scenario for run in plan):
        routers = {
            router: _router(
                scenario,
                [
                    records[run.key]
                    for run in plan
                    if run.scenario == scenario and run.router is router
                ],
            )
            for router in Router
            if any(run.scenario == scenario and run.router is router for run in plan)
        }
        found[scenario.name] = {"routers": routers, "ratios": ratios(routers)}
    return found


def ratios(routers: Mapping[Router, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Each controller's figures over the best of the rivals', one figure at a time."""
    rivals = [routers[router]["pooled"] for router in RIVALS if router in routers]
    return {
        router: {
            name: ratio(
                _at(found["pooled"], path),
                [_at(rival, path) for rival in rivals],
                more_is_better=name == MORE_IS_BETTER,
            )
            for name, path in COMPARED.items()
        }
        for router, found in routers.items()
        if router.policy is not None
    }


def _router(scenario: Scenario, repeats: Sequence[Record]) -> dict[str, Any]:
    """One router under one load."""
    sent = [requests_of(record) for record in repeats]
    at_s = [split_s(scenario, record) for record in repeats]
    each = [_figures([one], [s]) for one, s in zip(sent, at_s, strict=True)]
    answered = [sum(counts) for counts in zip(*(r["answered_by"] for r in repeats), strict=True)]
    return {
        "pooled": _figures(sent, at_s),
        "repeats": each,
        "answered_share": [round(count / max(1, sum(answered)), 3) for count in answered],
        "cpu_busy": [record["cpu_busy"] for record in repeats],
        "controller": [record["controller"] for record in repeats],
    }


def split_s(scenario: Scenario, record: Record) -> float:
    """Where a run is split in two: after learning, or where the server was slowed."""
    return len(record["requests"]) / record["rate"] / 2 if scenario.throttled else LEARNING_S


def _figures(repeats: Sequence[Sequence[Request]], at_s: Sequence[float]) -> dict[str, Any]:
    halves = [split(requests, s) for requests, s in zip(repeats, at_s, strict=True)]
    rates = [tokens_per_s(requests) for requests in repeats]
    return {
        "all": figures(request for requests in repeats for request in requests).as_json(),
        "first": figures(request for first, _ in halves for request in first).as_json(),
        "rest": figures(request for _, rest in halves for request in rest).as_json(),
        "tokens_per_s": round(sum(rates) / len(rates), 1),
    }


def _at(found: Any, path: Sequence[str]) -> float | None:  # noqa: ANN401 - plain JSON values
    for name in path:
        if found is None:
            return None
        found = found[name]
    return None if found is None else float(found)
