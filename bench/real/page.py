"""The results as a page for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.real.plan import RIVALS, Router
from bench.real.results import COMPARED, LEARNING_S

Values = Mapping[str, Any]

_COLD = tuple(router for router in Router if router is not Router.CAPACITY_WARM)
_WARM = (*RIVALS, Router.CAPACITY, Router.CAPACITY_WARM)
_SPOKEN = {
    Router.ROUND_ROBIN: "Nginx, round robin",
    Router.LEAST_CONN: "Nginx, least_conn",
    Router.LADDER: "controller, ladder",
    Router.CAPACITY: "controller, capacity",
    Router.CAPACITY_WARM: "controller, capacity, with its memory",
    Router.VLLM_ROUTER: "vllm-router, power_of_two",
    Router.SGLANG_ROUTER: "sglang-router, cache_aware",
}
_HEAD = (
    "router",
    "TTFT mean / P50 / P99 ms",
    "TTFT P99 of each repeat",
    "ITL mean / P50 / P99 ms",
    "e2e mean / P50 / P99 s",
    "tokens/s",
    "errors",
    "requests per server %",
    "reloads",
    "cores busy %",
)


def page(head: Values, found: Mapping[str, Values]) -> str:
    """The whole page."""
    steady = {name: each["routers"] for name, each in found.items() if name.isdigit()}
    slowed = {name: each["routers"] for name, each in found.items() if name not in steady}
    learning = (f"first {LEARNING_S:g} s", "later")
    parts = ["# The controller and other routers on real vLLM", _introduction(head)]
    parts.append("## From a cold start")
    for name, routers in steady.items():
        parts += [f"### {name} % of capacity", *_tables(routers, _COLD, learning)]
    if any(Router.CAPACITY_WARM in routers for routers in steady.values()):
        parts.append("## After a restart with its memory")
        for name, routers in steady.items():
            parts += [f"### {name} %, with memory", *_tables(routers, _WARM, learning)]
    for name, routers in slowed.items():
        parts.append(f"## {name.partition('-')[0]} %, a server slowed threefold half-way")
        parts += _tables(routers, tuple(Router), ("before", "slowed"))
    parts += ["## Ratios", _ratios(found)]
    return "\n\n".join(parts) + "\n"


def _introduction(head: Values) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
    settings = head["settings"]
    lines = [
        f"`{head['command']}` at commit {head['commit']} on {head['machine']}.",
        f"{versions}.",
        f"Capacity: {head['capacity']:.2f} requests/s"
        f" {'measured' if settings['capacity'] is None else 'given'},"
        f" {head['capacity_modelled']:.2f} by the modelled steps.",
        f"Repeats: {head['repeats']}, with {settings['length']} of sending in each run.",
        f"Prometheus scrapes every {settings['scrape_s']} s;"
        " the controller takes rates over five scrapes, looks at them twice in that time, and has"
        " its defaults beside that.",
        *head["notes"],
        "What the columns mean: [docs/bench-real.md](../../docs/bench-real.md).",
    ]
    return "\n".join(lines)


def _tables(routers: Values, shown: Sequence[Router], phases: tuple[str, str]) -> tuple[str, str]:
    """One load: the whole runs, then their two parts."""
    there = [router for router in shown if router in routers]
    whole = _table(_HEAD, [_row(router, routers[router]) for router in there])
    head = ["router", *(f"{what}, {phase}" for phase in phases for what in ("TTFT", "e2e"))]
    rows = [
        [_SPOKEN[router], *_part(routers[router], "first"), *_part(routers[router], "rest")]
        for router in there
    ]
    return whole, _table(head, rows)


def _row(router: Router, found: Values) -> list[str]:
    whole = found["pooled"]["all"]
    p99s = [_number(each["all"]["ttft_ms"], "p99", 0) for each in found["repeats"]]
    return [
        _SPOKEN[router],
        _triple(whole["ttft_ms"], 0),
        ", ".join(p99s),
        _triple(whole["itl_ms"], 1),
        _triple(whole["e2e_s"], 2),
        f"{found['pooled']['tokens_per_s']:.0f}",
        f"{whole['errors']} of {whole['requests']}",
        " / ".join(f"{share * 100:.0f}" for share in found["answered_share"]),
        ", ".join(str(each["reloads"]) if each else "-" for each in found["controller"]),
        ", ".join(f"{share * 100:.0f}" for share in found["cpu_busy"]),
    ]


def _part(found: Values, phase: str) -> tuple[str, str]:
    part = found["pooled"][phase]
    return f"{_triple(part['ttft_ms'], 0)} ms", f"{_triple(part['e2e_s'], 2)} s"


def _ratios(found: Mapping[str, Values]) -> str:
    rows = [
        [name, _SPOKEN[Router(router)], *(_ratio(values[what]) for what in COMPARED)]
        for name, each in found.items()
        for router, values in each["ratios"].items()
    ]
    return _table(["load %", "router", *COMPARED], rows)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _triple(spread: Values | None, digits: int) -> str:
    return " / ".join(_number(spread, name, digits) for name in ("mean", "p50", "p99"))


def _number(spread: Values | None, name: str, digits: int) -> str:
    return "-" if spread is None else f"{spread[name]:.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
