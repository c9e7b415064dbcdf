"""The results of a comparison as a value that is written as JSON, and read back for the page.

docs/benchmarks.md says what each field holds.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from bench.suite.contenders import HEADLINE, REFERENCE
from bench.suite.estimates import Estimate, cell_ratio, logs_of, mean_of, ratios_of
from bench.suite.expectations import Outcome, judge
from bench.suite.figures import FIGURES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.suite.cells import Cell
    from bench.suite.evaluating import Row

Report = dict[str, Any]

COMPARED: Final = "ttft_p99_s"
_CALM_LOAD: Final = 0.8
_MOST_LOAD: Final = 1.1
_NEARLY_ALL: Final = 0.95


def report_of(
    cells: Sequence[Cell], rows: Sequence[Row], skipped: Mapping[str, str], head: Mapping[str, str]
) -> Report:
    """Put the results of all runs together."""
    ratios = ratios_of(rows, COMPARED)
    verdicts = judge(cells, rows)
    return {
        **head,
        "headline": HEADLINE,
        "reference": REFERENCE,
        "skipped": dict(skipped),
        "left_out": list(ratios.left_out),
        "ratios": {
            name: {other: _triple(value) for other, value in others.items()}
            for name, others in ratios.by_pair.items()
        },
        "groups": _groups(cells, rows),
        "worst_cell": _worst_cells(cells, rows),
        "reloads_per_15min": _means(cells, rows, "reloads"),
        "overload_goodput": _means([cell for cell in cells if is_overload(cell)], rows, "goodput"),
        "false_shed": _means(_carried(cells, rows), rows, "shed"),
        "expectations": {
            "counts": dict(sorted(Counter(str(verdict.outcome) for verdict in verdicts).items())),
            "verdicts": [
                {
                    "cell": verdict.cell,
                    "claim": verdict.claim,
                    "value": _short(verdict.value),
                    "outcome": str(verdict.outcome),
                }
                for verdict in verdicts
            ],
        },
        "cells": {cell.name: _cell(cell, rows) for cell in cells},
    }


def is_steady(cell: Cell) -> bool:
    """Whether nothing happens in it but requests of a recorded trace."""
    scenario = cell.scenario
    return not scenario.events and scenario.burst is None and scenario.arrivals == "merged"


def is_overload(cell: Cell) -> bool:
    """Whether it counts for the goodput under overload."""
    return is_steady(cell) and _CALM_LOAD <= cell.load <= _MOST_LOAD


GROUPS: Final[Mapping[str, Callable[[Cell], bool]]] = {
    "equal servers": lambda cell: is_steady(cell) and cell.scenario.pool == "a",
    "unlike servers, load up to 0.8": lambda cell: (
        is_steady(cell) and cell.scenario.pool in {"b", "g"} and cell.load <= _CALM_LOAD
    ),
    "unlike servers, load above 0.8": lambda cell: (
        is_steady(cell) and cell.scenario.pool in {"b", "g"} and cell.load > _CALM_LOAD
    ),
    "few slots (the lab's servers)": lambda cell: cell.scenario.pool.startswith("lab"),
    "events, bursts, compressed traces": lambda cell: (
        not is_steady(cell) and not cell.scenario.pool.startswith("lab")
    ),
}


def _carried(cells: Sequence[Cell], rows: Sequence[Row]) -> list[Cell]:
    """The cells in which some router that sheds nothing does nearly all requests well."""
    shedding = {row.contender for row in rows if row.figures["shed"]}
    serving = [row for row in rows if row.contender not in shedding]
    return [
        cell
        for cell in cells
        if max(_means([cell], serving, "goodput").values(), default=0.0) >= _NEARLY_ALL
    ]


def _groups(cells: Sequence[Cell], rows: Sequence[Row]) -> Report:
    found: Report = {}
    for group, belongs in GROUPS.items():
        names = {cell.name for cell in cells if belongs(cell)}
        ratios = ratios_of([row for row in rows if row.cell in names], COMPARED).by_pair
        if REFERENCE in ratios:
            found[group] = {
                "cells": sorted(names),
                "ratios": {
                    name: _triple(others.get(REFERENCE, Estimate(1.0, 1.0, 1.0)))
                    for name, others in ratios.items()
                },
            }
    return found


def _worst_cells(cells: Sequence[Cell], rows: Sequence[Row]) -> Report:
    logs = logs_of(rows, COMPARED)
    found: Report = {}
    for name in dict.fromkeys(row.contender for row in rows):
        if not name.startswith("capacity"):
            continue
        ratios = {cell.name: cell_ratio(logs, cell.name, name, REFERENCE) for cell in cells}
        known = {cell: ratio for cell, ratio in ratios.items() if ratio is not None}
        if known:
            worst = max(known, key=lambda cell: known[cell])
            found[name] = {"cell": worst, "ratio": _short(known[worst])}
    return found


def _means(cells: Sequence[Cell], rows: Sequence[Row], figure: str) -> Report:
    """The mean of a figure over cells, each counting once, by policy."""
    names = {cell.name for cell in cells}
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        value = row.figures[figure]
        if row.cell in names and value is not None:
            values.setdefault(row.contender, {}).setdefault(row.cell, []).append(value)
    return {
        name: _short(sum(sum(v) / len(v) for v in by_cell.values()) / len(by_cell))
        for name, by_cell in values.items()
    }


def _cell(cell: Cell, rows: Sequence[Row]) -> Report:
    mine = [row for row in rows if row.cell == cell.name]
    names = dict.fromkeys(row.contender for row in mine)
    return {
        "scenario": cell.scenario.name,
        "claim": cell.scenario.claim,
        "pool": cell.scenario.pool,
        "trace": cell.scenario.trace,
        "load": cell.load,
        "requests_per_s": _short(cell.rate),
        "seeds": sorted({row.seed for row in mine}),
        "policies": {
            name: {
                figure: _triple(
                    mean_of(figure, [r.figures[figure] for r in mine if r.contender == name])
                )
                for figure in FIGURES
            }
            for name in names
        },
    }


def _triple(estimate: Estimate | None) -> list[float | None] | None:
    if estimate is None:
        return None
    return [_short(estimate.mean), _short(estimate.low), _short(estimate.high)]


def _short(value: float | None) -> float | None:
    """Four significant digits; what is not a finite number is a fault of the suite itself."""
    if value is None:
        return None
    if not math.isfinite(value):
        raise ArithmeticError(f"expected a finite figure, got {value}")
    return float(f"{value:.4g}")


def missed(report: Report) -> list[Report]:
    """The expectations that were not kept."""
    verdicts = report["expectations"]["verdicts"]
    return [verdict for verdict in verdicts if verdict["outcome"] == Outcome.MISSED]


def to_json(report: Report) -> str:
    """The report as text: a line for each list of numbers and each policy of a cell."""
    return _lines(report, 0) + "\n"


def _lines(value: object, depth: int) -> str:
    flat = isinstance(value, dict) and value and all(_is_leaf(each) for each in value.values())
    if not isinstance(value, dict | list) or not value or flat or _is_leaf(value):
        return json.dumps(value, allow_nan=False)
    pad, end = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        body = [f"{pad}{json.dumps(key)}: {_lines(each, depth + 1)}" for key, each in value.items()]
        return "{\n" + ",\n".join(body) + f"\n{end}}}"
    body = [f"{pad}{_lines(each, depth + 1)}" for each in value]
    return "[\n" + ",\n".join(body) + f"\n{end}]"


def _is_leaf(value: object) -> bool:
    if isinstance(value, list):
        return not any(isinstance(each, dict | list) for each in value)
    return not isinstance(value, dict)
