"""A cell that takes a fraction of a second, and rows as runs would give them."""

from __future__ import annotations

from bench.suite import Cell, Row
from bench.suite.figures import FIGURES, Figures
from bench.suite.reading import parse

SMALL = """
name = "small"
claim = "The faster server gets more."
pool = "lab"
trace = "uniform_128"
loads = [0.5, 0.9]
quick_loads = [0.5]
seeds = [1, 2]
duration_s = 120.0
warmup_s = 20.0
recovery_from_s = 60.0

[[events]]
kind = "speed"
at_s = 60.0
server = 0
speed = 0.5

[[expect]]
figure = "goodput"
policy = "least_conn"
low = 0.1
high = 1.0

[[expect]]
figure = "ttft_p99_s"
policy = "ladder"
against = "least_conn"
loads = [0.9]
high = 2.0
"""


def small_cell(load: float = 0.5, name: str = "small") -> Cell:
    """One cell of the scenario above."""
    return Cell(parse(SMALL.replace('"small"', f'"{name}"'), name), load)


def figures(**known: float | None) -> Figures:
    """The figures of a run, all zero but for those given."""
    return {**dict.fromkeys(FIGURES, 0.0), **known}


def row(cell: str, contender: str, seed: int, ttft_p99_s: float | None) -> Row:
    """A run of which only one figure matters."""
    return Row(cell, contender, seed, figures(ttft_p99_s=ttft_p99_s, goodput=0.5))
