"""Asks all questions, or those named: `make bench-research` (or `python -m bench.research NAME`).

All of them write bench/results/research.json and research.md; some are printed, and written only
where `--out` says.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import provenance
from bench.research import first_minute, low_load, no_reload, persisted, size_classes
from bench.research.page import found_of, page_of
from bench.research.question import play
from bench.suite.report import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS: Final = Path(__file__).resolve().parent.parent / "results"
QUESTIONS: Final = {
    module.QUESTION.name: module.QUESTION
    for module in (size_classes, persisted, first_minute, low_load, no_reload)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask what was named."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _options(arguments)
    processes = options.processes or len(os.sched_getaffinity(0))
    results = {}
    for name in options.names or QUESTIONS:
        began_s = time.monotonic()
        played = play(QUESTIONS[name], processes, options.seeds)
        results[name] = found_of(QUESTIONS[name], played)
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    again = ["python -m bench.research", *arguments] if arguments else ["make bench-research"]
    head = provenance.head(" ".join(again))
    page = page_of(head, results)
    out = options.out or (None if options.names or options.seeds else RESULTS)
    if out is None:
        print(page)
        return 0
    out.mkdir(parents=True, exist_ok=True)
    (out / "research.json").write_text(to_json({**head, "questions": results}))
    (out / "research.md").write_text(page)
    print(f"written: {out}/research.json, research.md")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.research", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(QUESTIONS)}")
    parser.add_argument("--seeds", type=int, help="how many of each cell's")
    parser.add_argument("--processes", type=int, help="how many at a time; one per core")
    parser.add_argument("--out", type=Path, help="directory of the results")
    options = parser.parse_args(arguments)
    if strange := sorted(set(options.names) - QUESTIONS.keys()):
        parser.error(f"{', '.join(strange)}: expected some of {', '.join(QUESTIONS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
