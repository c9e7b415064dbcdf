"""The plots of the results: SVG that is the same for the same results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.drawing import STYLE, save
from bench.suite.report import COMPARED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.suite.cells import Cell
    from bench.suite.report import Report
    from simulator.fleet.results import RunResult

_COLOURS: Final = {
    "round_robin": "#9e9e9e",
    "least_conn": "#000000",
    "ladder": "#d62728",
    "equal": "#8c564b",
    "capacity": "#9ecae1",
    "capacity_spill": "#1f77b4",
    "capacity_shed": "#08306b",
    "power_of_two": "#ff7f0e",
    "queue_kv": "#e8b100",
    "jsq": "#2ca02c",
    "oracle": "#9467bd",
}
_OTHER: Final = "#17becf"
_WINDOW_S: Final = 15.0


def draw_ttft(report: Report, path: Path) -> None:
    """P99 of the time to first token, a row per cell and a dot per policy."""
    cells, policies = report["cells"], list(report["ratios"])
    headline = report["headline"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.4 + 0.2 * len(cells)), layout="constrained")
        axes = figure.subplots()
        for name in policies:
            triples = [cell["policies"][name][COMPARED] for cell in cells.values()]
            axes.scatter(
                [triple[0] if triple else np.nan for triple in triples],
                range(len(cells)),
                s=44 if name == headline else 16,
                color=_COLOURS.get(name, _OTHER),
                marker="D" if name == headline else "o",
                zorder={headline: 4, report["reference"]: 3}.get(name, 2),
                label=name,
            )
        axes.set_yticks(range(len(cells)), list(cells))
        axes.set_ylim(len(cells) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.set_xlabel("P99 of the time to first token, s")
        axes.grid(color="#dddddd", linewidth=0.5)
        figure.legend(loc="outside upper center", ncols=6, frameon=False)
        save(figure, path)


def draw_throttle(cell: Cell, results: Mapping[str, RunResult], path: Path) -> None:
    """Weights and latency over time, a column per policy."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * len(results), 5), layout="constrained")
        grid = figure.subplots(2, len(results), sharex=True, sharey="row", squeeze=False)
        servers = 0
        for column, (name, result) in enumerate(results.items()):
            weights, latency = grid[0][column], grid[1][column]
            times_s, shares = _weights(result)
            servers = shares.shape[1]
            for server in range(servers):
                weights.step(times_s, shares[:, server], where="post", color=f"C{server}")
            weights.set_title(name)
            seconds, ttft_s = _ttft_over_time(result)
            latency.plot(seconds, ttft_s, color="#444444")
            latency.set_yscale("log")
            latency.set_xlabel("time, s")
            latency.set_xlim(0, result.duration_s)
            for event in cell.events:
                for axes in (weights, latency):
                    axes.axvline(event.at_s, color="#bbbbbb", linewidth=0.8, zorder=0)
        grid[0][0].set_ylabel("share of the weights")
        grid[1][0].set_ylabel(f"P99 TTFT of arrivals in {_WINDOW_S:g} s, s")
        figure.legend(
            [Line2D([], [], color=f"C{server}") for server in range(servers)],
            [f"server {server}" for server in range(servers)],
            loc="outside upper center",
            ncols=servers,
            frameon=False,
        )
        save(figure, path)


def _weights(result: RunResult) -> tuple[Any, Any]:
    """When the weights changed, and each server's share of them from then on."""
    servers = result.scrapes.shape[0]
    times_s, shares = [0.0], [np.full(servers, 1 / servers)]
    for change in result.changes:
        if change.at_s >= result.duration_s:
            break
        weights = np.array(
            [0 if line is None or line.down else line.weight for line in change.lines], float
        )
        times_s.append(change.at_s)
        shares.append(weights / weights.sum())
    times_s.append(result.duration_s)
    shares.append(shares[-1])
    return np.array(times_s), np.array(shares)


def _ttft_over_time(result: RunResult) -> tuple[Any, Any]:
    """P99 of the time to first token of the requests that arrived in each window."""
    starts = np.arange(0.0, result.duration_s, _WINDOW_S)
    ttft_s = result.ttft_s
    found = []
    for start_s in starts:
        inside = (result.arrival_s >= start_s) & (result.arrival_s < start_s + _WINDOW_S)
        known = ttft_s[inside & ~np.isnan(ttft_s)]
        found.append(float(np.percentile(known, 99)) if len(known) else np.nan)
    return starts + _WINDOW_S / 2, np.array(found)
