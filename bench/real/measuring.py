"""What is left to measure is measured and kept; runs that are finished are not made again."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.real.client import Load
from bench.real.figures import figures
from bench.real.install import Installed
from bench.real.journal import Journal
from bench.real.plan import Run
from bench.real.servers import SPEEDS, modelled_requests_per_s
from bench.real.session import Session, requests_of, session
from lab.processes import free_port

ROOT = Path(__file__).resolve().parents[2]

# Beside the sending: router and client start, the last answers come.
OVERHEAD_S = 35.0

# Runs are only put together when all of this was the same; what only shows them may change.
_MEASURED = ("controller", "deploy/nginx", "lab", "bench/real")
_SHOWN = {"__main__.py", "figures.py", "page.py", "plot.py", "results.py", "writing.py"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes runs comparable.

    Attributes:
        seconds: How long requests are sent in a run.
        requests: How many are sent instead; None for as many as come in `seconds`.
        scrape_s: How often Prometheus scrapes.
        capacity: Requests per second at 100 %; None to measure it.
    """

    seconds: float
    requests: int | None
    scrape_s: int
    capacity: float | None

    @property
    def length(self) -> str:
        """How long a run is, for a person."""
        return f"{self.seconds:g} s" if self.requests is None else f"{self.requests} requests"

    def load(self, run: Run, capacity: float) -> Load:
        """What is sent in a run."""
        rate = round(capacity * run.scenario.percent / 100, 3)
        return Load(self.requests or max(1, round(rate * self.seconds)), rate, run.seed)


def journal_file(cache: Path, settings: Settings) -> Path:
    """Where the runs with these settings, of this code, are kept."""
    content = hashlib.sha256(json.dumps(asdict(settings)).encode())
    for path in _measured_files():
        content.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return cache / f"journal-{content.hexdigest()[:12]}.jsonl"


def expected_s(plan: Sequence[Run], settings: Settings) -> float:
    """How long these runs take, about."""
    capacity = settings.capacity or modelled_requests_per_s()
    return sum(settings.load(run, capacity).seconds + OVERHEAD_S for run in plan)


def measure(
    installed: Installed,
    cache: Path,
    journal: Journal,
    *,
    plan: Sequence[Run],
    settings: Settings,
    deadline_s: float,
) -> None:
    """Make the runs that the journal lacks, as far as there is time.

    Args:
        installed: The programs.
        cache: For the logs of this session; those of the one before go.
        journal: Takes each run as soon as it is finished.
        plan: All runs in their order.
        settings: What the runs are like.
        deadline_s: By the monotonic clock; no run begins that would not end by then.

    Raises:
        NotReadyError: A server did not start or did not get idle.
        ClientError: The client failed.
    """
    logs = cache / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    # What a controller remembers belongs to addresses, so a session that goes on keeps them.
    ports = journal.session["ports"] if journal.session else [free_port() for _ in SPEEDS]
    with session(installed, logs, ports, settings.scrape_s) as started:
        capacity = _capacity(journal, started, settings, ports)
        for run in plan:
            load = settings.load(run, capacity)
            if run.key in journal.records:
                continue
            if time.monotonic() + load.seconds + OVERHEAD_S > deadline_s:
                return
            source = run.remembers
            memory = journal.records[source.key]["memory"] if source else None
            record = started.play(run, load, memory)
            journal.append(record)
            print(_sentence(record), flush=True)


def _capacity(
    journal: Journal, started: Session, settings: Settings, ports: Sequence[int]
) -> float:
    """The capacity that all runs of the journal refer to."""
    if journal.session is not None:
        return float(journal.session["capacity"])
    capacity = settings.capacity or started.capacity()
    print(f"capacity: {capacity:.2f} requests/s", flush=True)
    journal.append({"ports": list(ports), "capacity": capacity})
    return capacity


def _sentence(record: dict[str, Any]) -> str:
    found = figures(requests_of(record))
    ttft, e2e = found.ttft_ms, found.e2e_s
    told = f"TTFT P99 {ttft.p99:.0f} ms, e2e P99 {e2e.p99:.1f} s, " if ttft and e2e else ""
    return f"{record['key']}: {told}{found.errors} of {found.requests} failed"


def _measured_files() -> Iterator[Path]:
    for folder in _MEASURED:
        for path in sorted((ROOT / folder).rglob("*")):
            shown = path.parent.name == "real" and path.name in _SHOWN
            if path.is_file() and "__pycache__" not in path.parts and not shown:
                yield path
