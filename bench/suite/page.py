"""The results as a page for a stranger: the summary first, then every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.suite.contenders import MEANINGS
from bench.suite.figures import FIGURES
from bench.suite.report import COMPARED, missed
from bench.suite.showing import number, share, spread, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.suite.report import Report

_COLUMNS: Final = {
    "goodput": "goodput",
    "ttft_mean_s": "TTFT mean",
    "ttft_p50_s": "P50",
    "ttft_p99_s": "P99",
    "e2e_p99_s": "e2e P99",
    "failed": "failed",
    "shed": "shed",
    "shed_with_room": "shed with room",
    "unfinished": "unfinished",
    "preemptions": "preemptions",
    "reloads": "reloads",
    "slo_back_s": "goodput back after",
    "slo_never": "never back",
}
# Columns that nearly always hold zeros are shown where they do not.
_RARE: Final = {"failed", "shed", "shed_with_room", "unfinished", "slo_back_s", "slo_never"}
_WITH_RANGE: Final = {"goodput", COMPARED}


def page_of(report: Report) -> str:
    """Write the page."""
    parts = [
        "# Routers compared in virtual time",
        f"`{report['command']}` at commit {report['commit']} on {report['machine']}.",
        "What is compared and how to read this page stands in"
        " [docs/benchmarks.md](../../docs/benchmarks.md).\n"
        "TTFT is the time to first token, e2e the time to the last one, both in seconds;"
        " goodput is the share of requests done with a TTFT of at most 2 s and at most 100 ms"
        " between tokens on average.\n"
        "Requests that failed or were shed have no TTFT, so the ratios of a policy that sheds are"
        " to be read together with its goodput.\n"
        "Ranges hold 95 %.",
        "## Summary",
        *_headline(report),
        _summary(report),
        *_skipped(report),
        "![P99 of the time to first token by scenario and policy](ttft-p99.svg)",
        "## By kind of scenario",
        f"P99 TTFT divided by that of {report['reference']}, geometric mean over the cells.",
        _groups(report),
        "## All pairs",
        "P99 TTFT of the policy in the row divided by that of the policy in the column, geometric"
        " mean over all cells.",
        _pairs(report),
        "## Expectations",
        *_expectations(report),
        "## A server throttles",
        "![Weights and latency while a server is throttled](throttle.svg)",
        "## Cells",
        "Times are geometric means over the seeds, the rest are means.",
        *_cells(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary_of(report: Report) -> str:
    """The part of the page that says the most."""
    parts = (*_headline(report), _summary(report), *_skipped(report), *_expectations(report))
    return "\n\n".join(parts)


def _headline(report: Report) -> Iterable[str]:
    name = report["headline"]
    ratios = report["ratios"].get(name, {})
    lines = [
        f"P99 TTFT of {name} by that of {other}: {spread(ratios[other])}."
        for other in ("least_conn", "ladder", "jsq", "queue_kv", "oracle")
        if other in ratios
    ]
    if worst := report["worst_cell"].get(name):
        reference, ratio = report["reference"], number(worst["ratio"])
        lines.append(f"Its worst cell against {reference}: {worst['cell']}, {ratio}.")
    if lines:
        yield "\n".join(lines)


def _summary(report: Report) -> str:
    reference = report["reference"]
    ratios = report["ratios"]
    # Against itself the reference is 1; when it did not run, there is nothing to say.
    own = {reference: [1.0] * 3} if reference in ratios else {}
    against = {name: (own | others).get(reference) for name, others in ratios.items()}
    names = sorted(ratios, key=lambda name: (against[name] or [1.0])[0])
    rows = [
        (
            name,
            MEANINGS.get(name, ""),
            spread(against[name]),
            share(report["overload_goodput"].get(name)),
            number(report["reloads_per_15min"].get(name)),
            share(report["false_shed"].get(name)),
        )
        for name in names
    ]
    return table(
        (
            "policy",
            "what it is",
            f"P99 TTFT by {reference}",
            "goodput at load 0.8 to 1.1",
            "reloads in 15 min",
            "shed where nothing need be",
        ),
        rows,
    )


def _skipped(report: Report) -> Iterable[str]:
    if report["skipped"]:
        yield "\n".join(f"Not run: {name}, {why}." for name, why in report["skipped"].items())
    if report["left_out"]:
        yield f"Cells that no ratio counts: {', '.join(report['left_out'])}."


def _groups(report: Report) -> str:
    names = list(report["ratios"])
    rows = [
        (
            f"{group} ({len(found['cells'])} cells)",
            *(number(found["ratios"][name][0]) for name in names),
        )
        for group, found in report["groups"].items()
    ]
    return table(("kind", *names), rows)


def _pairs(report: Report) -> str:
    ratios = report["ratios"]
    rows = [
        (name, *(number(others[other][0]) if other in others else "" for other in ratios))
        for name, others in ratios.items()
    ]
    return table(("policy", *ratios), rows)


def _expectations(report: Report) -> Iterable[str]:
    counts = report["expectations"]["counts"]
    yield (
        f"Of what the scenarios expect {counts.get('kept', 0)} are kept,"
        f" {counts.get('missed', 0)} are missed, and {counts.get('unknown', 0)} cannot be said,"
        " since a policy did not run."
    )
    rows = [
        (verdict["cell"], verdict["claim"], number(verdict["value"])) for verdict in missed(report)
    ]
    if rows:
        yield "The missed ones:"
        yield table(("cell", "expected", "found"), rows)


def _cells(report: Report) -> Iterable[str]:
    before = None
    for name, cell in report["cells"].items():
        if cell["scenario"] != before:
            before = cell["scenario"]
            yield f"### {before}"
            yield cell["claim"]
        yield (
            f"{name}: pool {cell['pool']}, {cell['trace']}, {cell['requests_per_s']:g} requests"
            f" per second, {len(cell['seeds'])} seeds."
        )
        policies = cell["policies"]
        shown = [
            figure
            for figure in _COLUMNS
            if figure not in _RARE or any((each[figure] or [0])[0] for each in policies.values())
        ]
        rows = [
            (policy, *(_shown(figure, figures[figure]) for figure in shown))
            for policy, figures in policies.items()
        ]
        yield table(("policy", *(_COLUMNS[figure] for figure in shown)), rows)


def _shown(figure: str, triple: Sequence[float] | None) -> str:
    if figure in _WITH_RANGE:
        return spread(triple, shares=FIGURES[figure].unit == "share")
    if triple is None:
        return ""
    return share(triple[0]) if FIGURES[figure].unit == "share" else number(triple[0])
