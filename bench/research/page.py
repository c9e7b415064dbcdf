"""The results as numbers, and as a page of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.research.estimates import compared, is_time, mean_of, table_of
from bench.suite.showing import number, share, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.research.question import Played, Question

Found = dict[str, Any]
"""The report, or a part of it: what JSON can hold."""

_TITLES: Final = {
    "goodput": "goodput",
    "shed": "shed",
    "ttft_mean_s": "TTFT mean, s",
    "ttft_p99_s": "TTFT P99, s",
    "e2e_mean_s": "e2e mean, s",
    "e2e_p99_s": "e2e P99, s",
    "reloads": "reloads",
}


def found_of(question: Question, played: Sequence[Played]) -> Found:
    """Every contender's figures by group and span: the mean, then the comparison with its range."""
    return {
        "asked": question.asked,
        "reference": question.reference,
        "groups": {
            group: {
                "cells": [cell.name for cell in members],
                "runs_each": len(
                    {(each.cell, each.seed) for each in played if each.group == group}
                ),
                **{
                    span: _contenders(
                        question, [p for p in played if (p.group, p.span) == (group, span)]
                    )
                    for span in question.spans
                },
            }
            for group, members in question.groups.items()
        },
    }


def _contenders(question: Question, played: Sequence[Played]) -> Found:
    found: Found = {}
    for name in dict.fromkeys(each.contender for each in played):
        found[name] = {}
        for figure in question.figures:
            ours = table_of(played, name, figure)
            found[name][figure] = [_short(mean_of(ours, figure))]
            if name != question.reference:
                by = compared(ours, table_of(played, question.reference, figure), figure)
                found[name][figure] += [_short(value) for value in (by.mean, by.low, by.high)]
    return found


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def page_of(head: Mapping[str, str], results: Mapping[str, Found]) -> str:
    """Write the page."""
    parts = [
        "# Ideas that were tried",
        f"`{head['command']}` at commit {head['commit']} on {head['machine']}.",
        "What was asked and what follows stands in [docs/research.md](../../docs/research.md).\n"
        "Each figure is a mean over cells and seeds, of times the geometric one; in brackets is"
        " the difference from the contender that the table names, as a factor for times and in"
        " percentage points for shares, with a range that holds 95 %.\n"
        "Reloads are those within the span.",
    ]
    for name, found in results.items():
        parts += [f"## {name}", found["asked"]]
        for group, members in found["groups"].items():
            for span, contenders in members.items():
                if isinstance(contenders, dict):
                    parts += [
                        f"### {name}: {group}, {span}",
                        f"{', '.join(members['cells'])}; {members['runs_each']} runs each;"
                        f" compared with {found['reference']}.",
                        _table(contenders),
                    ]
    return "\n\n".join(parts) + "\n"


def _table(contenders: Found) -> str:
    figures = list(next(iter(contenders.values())))
    return table(
        ["", *(_TITLES[figure] for figure in figures)],
        [
            [name, *(_cell(figure, values[figure]) for figure in figures)]
            for name, values in contenders.items()
        ],
    )


def _cell(figure: str, values: Sequence[float]) -> str:
    """A mean, and in brackets the comparison with its range."""
    shown = (number if is_time(figure) or figure == "reloads" else share)(values[0])
    if len(values) == 1 or figure == "reloads" or not any(values):
        return shown
    if is_time(figure):
        mean, low, high = (number(value) for value in values[1:])
        return f"{shown} (x {mean}, {low}..{high})"
    # The sum makes +0.0 of -0.0.
    mean, low, high = (f"{round(100 * value, 1) + 0:+.1f}" for value in values[1:])
    return f"{shown} ({mean}, {low}..{high})"
