"""The plot of the results: the tails of both latencies against the load, a line per router."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.drawing import STYLE, save
from bench.real.plan import Router

_COLOURS = {
    Router.ROUND_ROBIN: "#9e9e9e",
    Router.LEAST_CONN: "#000000",
    Router.LADDER: "#d62728",
    Router.CAPACITY: "#9ecae1",
    Router.CAPACITY_WARM: "#1f77b4",
    Router.VLLM_ROUTER: "#ff7f0e",
    Router.SGLANG_ROUTER: "#2ca02c",
}
_PANELS = (("ttft_ms", "P99 of the time to first token, ms"), ("e2e_s", "P99 of the whole, s"))


def draw(found: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw the steady loads: a line through all repeats together, a dot for each."""
    loads = [name for name in found if name.isdigit()]
    routers = [router for router in Router if router in found[loads[0]]["routers"]]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4), layout="constrained")
        for axes, (figure_name, label) in zip(figure.subplots(1, 2), _PANELS, strict=True):
            for router in routers:
                each = [found[load]["routers"][router] for load in loads]
                _line(axes, [int(load) for load in loads], each, figure_name, router)
            axes.set_yscale("log")
            axes.set_xlabel("load, % of capacity")
            axes.set_ylabel(label)
            axes.set_xticks([int(load) for load in loads])
            axes.grid(color="#dddddd", linewidth=0.5)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
        save(figure, path)


def _line(axes: Any, loads: list[int], each: list[Any], name: str, router: Router) -> None:  # noqa: ANN401 - matplotlib's axes
    colour = _COLOURS[router]
    pooled = [_p99(router_figures["pooled"], name) for router_figures in each]
    axes.plot(loads, pooled, color=colour, marker="o", label=str(router))
    for load, router_figures in zip(loads, each, strict=True):
        values = [_p99(repeat, name) for repeat in router_figures["repeats"]]
        axes.scatter([load] * len(values), values, color=colour, s=8, alpha=0.5)


def _p99(figures: Mapping[str, Any], name: str) -> float:
    spread = figures["all"][name]
    return float("nan") if spread is None else float(spread["p99"])
