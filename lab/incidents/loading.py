"""The recorded world in a real Prometheus, with all recordings and alerts."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.incidents.history import History
from lab.incidents.rules import Firing, alerts, firings, layers, recordings
from lab.incidents.timetable import MINUTES, SCRAPE_S, START_S
from lab.incidents.world import World
from lab.prometheus import RunningPrometheus, prometheus

RULES = Path(__file__).resolve().parents[2] / "rules"
# A failed scrape ends its series at once in Prometheus, by a marker that OpenMetrics cannot
# express. Looking back no further than a scrape comes to the same.
_FLAGS = ("--query.lookback-delta=20s",)
_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Replay:
    """A Prometheus that holds the two hours.

    Attributes:
        server: It.
        firings: The alerts that fired.
        start_s: First sample.
        end_s: Last sample.
    """

    server: RunningPrometheus
    firings: Sequence[Firing]
    start_s: int
    end_s: int


@contextlib.contextmanager
def replay(
    directory: Path, *, start_s: int = START_S, rules: Sequence[Path] | None = None
) -> Iterator[Replay]:
    """Play the world, and run a Prometheus that remembers it until the context ends."""
    files = sorted(RULES.glob("*.yml")) if rules is None else list(rules)
    end_s = start_s + 60 * MINUTES - SCRAPE_S
    _load(directory, World(start_s=start_s).run())
    for number, layer in enumerate(layers(recordings(files))):
        file = directory / f"layer-{number}.yml"
        group = {"name": f"layer-{number}", "interval": f"{SCRAPE_S}s", "rules": layer}
        file.write_text(yaml.safe_dump({"groups": [group]}))
        with _started(directory) as server:
            times = f"--start={start_s}", f"--end={end_s}"
            where = f"--url={server.url}", f"--output-dir={directory / 'data'}"
            _promtool("create-blocks-from", "rules", *times, *where, str(file))
    raised = History()
    with _started(directory) as server:
        found = firings(
            server.url, alerts(files), raised, start_s=start_s, end_s=end_s, step_s=SCRAPE_S
        )
    _load(directory, raised)
    with _started(directory) as server:
        yield Replay(server, found, start_s, end_s)


def _load(directory: Path, history: History) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "history.om"
    if history.write(file):
        _promtool("create-blocks-from", "openmetrics", "-q", str(file), str(directory / "data"))
    file.unlink()


def _started(directory: Path) -> contextlib.AbstractContextManager[RunningPrometheus]:
    # Retention counts from the newest block, and whoever looks at the data may do so for days.
    return prometheus(directory, [], retention="10y", flags=_FLAGS)


def _promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", "tsdb", *arguments],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"promtool {' '.join(arguments)}\n{done.stdout}{done.stderr}")
