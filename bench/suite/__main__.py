"""Compares routers in virtual time: `make bench` (or `python -m bench.suite [--quick]`).

The full suite writes bench/results/latest.json, latest.md and their plots. A part of it (`--quick`,
`--scenarios`, `--policies`, `--seeds`) is printed, and written only where `--out` says.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.provenance import head
from bench.suite.cells import Cell, cells_of
from bench.suite.contenders import CONTENDERS, HEADLINE, REFERENCE
from bench.suite.evaluating import evaluate
from bench.suite.page import page_of, summary_of
from bench.suite.reading import load_all
from bench.suite.report import report_of, to_json
from controller.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.suite.contenders import Contender
    from bench.suite.evaluating import Task
    from bench.suite.report import Report
    from simulator.fleet.results import RunResult

RESULTS: Final = Path(__file__).resolve().parent.parent / "results"
QUICK_SEEDS: Final = 2
SHOWN_CELL: Final = "throttle-b@0.65"
SHOWN_POLICIES: Final = (REFERENCE, "ladder", HEADLINE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 2 when it cannot be run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _options(arguments)
    try:
        cells, chosen = _cells(options), _contenders(options)
    except ConfigError as error:
        print("\n".join(error.faults), file=sys.stderr)
        return 2
    skipped = {each.name: each.missing for each in chosen if each.missing}
    for name, why in skipped.items():
        print(f"skipped: {name}: {why}", flush=True)
    contenders = [each for each in chosen if not each.missing]
    seeds = options.seeds or (QUICK_SEEDS if options.quick else None)
    rows = evaluate(
        cells, contenders, seeds=seeds, processes=options.processes, on_task=_progress(cells, seeds)
    )
    again = ["python -m bench.suite", *arguments] if arguments else ["make bench"]
    report = report_of(cells, rows, skipped, head(" ".join(again)))
    print(summary_of(report))
    partial = options.quick or options.scenarios or options.policies or options.seeds
    out = options.out or (None if partial else RESULTS)
    if out is not None:
        _write(report, contenders, out)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.suite", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fixed part, within a minute")
    parser.add_argument("--scenarios", type=_names, help="only these, as a,b")
    parser.add_argument("--policies", type=_names, help="only these, as x,y")
    parser.add_argument("--seeds", type=_count, help="how many of each scenario's")
    parser.add_argument("--processes", type=_count, help="how many at a time; one per core")
    parser.add_argument("--out", type=Path, help="directory of the results")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return count


def _cells(options: argparse.Namespace) -> tuple[Cell, ...]:
    scenarios = load_all()
    known = [scenario.name for scenario in scenarios]
    _check("--scenarios", options.scenarios, known)
    wanted = options.scenarios or known
    cells = cells_of([each for each in scenarios if each.name in wanted], quick=options.quick)
    if not cells:
        raise ConfigError(["--scenarios: none of them is in the quick suite"])
    return cells


def _contenders(options: argparse.Namespace) -> list[Contender]:
    _check("--policies", options.policies, list(CONTENDERS))
    wanted = options.policies or list(CONTENDERS)
    return [each for each in CONTENDERS.values() if each.name in wanted]


def _check(option: str, names: Sequence[str] | None, known: Sequence[str]) -> None:
    if strange := sorted(set(names or ()) - set(known)):
        raise ConfigError([f"{option}: {', '.join(strange)}: expected some of {', '.join(known)}"])


def _progress(cells: Sequence[Cell], seeds: int | None) -> Callable[[Task, float], None]:
    """Print a line for each cell that is done, with the time that is left."""
    began_s = time.monotonic()
    left = {cell.name: len(cell.scenario.seeds[:seeds]) for cell in cells}

    def say(task: Task, share: float) -> None:
        left[task.cell.name] -= 1
        if not left[task.cell.name]:
            spent_s = time.monotonic() - began_s
            rest_s = spent_s * (1 - share) / share
            print(
                f"{share:4.0%}  {task.cell.name:24} {spent_s:4.0f} s, about {rest_s:.0f} s left",
                flush=True,
            )

    return say


def _write(report: Report, contenders: Sequence[Contender], out: Path) -> None:
    from bench.suite.plots import draw_throttle, draw_ttft  # noqa: PLC0415 - slow, and rarely needed

    out.mkdir(parents=True, exist_ok=True)
    (out / "latest.json").write_text(to_json(report))
    (out / "latest.md").write_text(page_of(report))
    draw_ttft(report, out / "ttft-p99.svg")
    draw_throttle(*_throttle(contenders), out / "throttle.svg")
    print(f"written: {out}/latest.json, latest.md, ttft-p99.svg, throttle.svg")


def _throttle(contenders: Sequence[Contender]) -> tuple[Cell, dict[str, RunResult]]:
    """The runs of the plot over time: one seed of the scenario with a throttled server."""
    cell = next(cell for cell in cells_of(load_all()) if cell.name == SHOWN_CELL)
    seed = cell.scenario.seeds[0]
    workload = cell.workload(seed)
    shown = [each for each in contenders if each.name in SHOWN_POLICIES]
    return cell, {each.name: cell.play(each, workload, seed) for each in shown or contenders[:1]}


if __name__ == "__main__":
    sys.exit(main())
