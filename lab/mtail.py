"""A real mtail that makes metrics of an access log."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.exposition import Samples, page
from lab.processes import Child, answers, child, free_port

PROGRAM = Path(__file__).resolve().parents[1] / "deploy" / "mtail" / "nginx_lb.mtail"
# As docs/nginx-metrics.md has it; a label `prog` would only be one more to sum away.
FLAGS = ("--logtostderr", "--emit_prog_label=false", "--vm_logs_runtime_errors=false")
# Seen soon enough for a test; the default of a quarter of a second is for servers.
POLL = ("--poll_interval=50ms", "--poll_log_interval=50ms")
# One thread is enough for some 17,000 lines a second.
THREADS = {"GOMAXPROCS": "1"}


@dataclass(frozen=True, slots=True)
class RunningMtail:
    """An mtail that answers at `url` and reads `log` from where it ended at the start."""

    url: str
    log: Path
    process: Child

    def samples(self) -> Samples:
        """What it knows now."""
        return Samples.parse(page(self.url))


@contextlib.contextmanager
def mtail(
    directory: Path, log: Path, *flags: str, program: Path = PROGRAM
) -> Iterator[RunningMtail]:
    """Run mtail on a log until the context ends.

    It listens only when it has found the end of the log, so what is written from then on is read.

    Raises:
        NotReadyError: mtail did not start; the message ends with what it said.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv: list[str | Path] = ["mtail", "--progs", program, "--logs", log, *FLAGS, *POLL]
    argv += ["--address=127.0.0.1", f"--port={port}", *flags]
    output = directory / "mtail.out"
    with child(argv, output, ready=lambda: answers(f"{url}/metrics"), env=THREADS) as process:
        yield RunningMtail(url, log, process)


def one_shot(log: Path) -> Samples:
    """What mtail makes of a log that is complete."""
    return Samples.parse(one_shot_page(log))


def one_shot_page(log: Path) -> str:
    """The page of metrics of a log that is complete, as text."""
    argv: list[str | Path] = ["mtail", "--one_shot", "--one_shot_format=prometheus", *FLAGS]
    # It listens for this moment, too.
    argv += ["--address=127.0.0.1", "--port=0", "--progs", PROGRAM, "--logs", log]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout
