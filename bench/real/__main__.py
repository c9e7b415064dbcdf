"""`python -m bench.real`: installs, measures what is left to measure, and writes the results."""

import argparse
import contextlib
import fcntl
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from bench.real.client import ClientError
from bench.real.install import SkippedError, cache_dir, install
from bench.real.journal import Journal, JournalError
from bench.real.measuring import Settings, expected_s, journal_file, measure
from bench.real.plan import Router, Run, runs, scenarios
from bench.real.writing import write
from controller.policy.registry import REGISTRY
from lab.processes import NotReadyError

RESULTS = Path(__file__).parents[1] / "results"


class BusyError(Exception):
    """Another bench runs on this machine: they would measure each other."""


def main() -> int:
    """Run the bench; returns the exit code."""
    options = _options()
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _interrupt)
    try:
        return _bench(options)
    except SkippedError as reason:
        print(f"bench-real: skipped: {reason}")
        return 0
    except (BusyError, ClientError, JournalError, NotReadyError) as error:
        print(f"bench-real: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench-real: interrupted; finished runs are kept", file=sys.stderr)
        return 130


def _bench(options: argparse.Namespace) -> int:
    deadline_s = time.monotonic() + options.minutes * 60
    cache = cache_dir()
    settings = Settings(options.seconds, options.requests, options.scrape, options.capacity)
    with _alone(cache):
        installed = install(cache)
        routers, notes = _available(options.routers)
        loads = scenarios(options.loads, throttle=options.throttle)
        plan = runs(loads, routers, options.repeats, options.throttled_repeats)
        file = journal_file(cache, settings)
        if options.fresh:
            file.unlink(missing_ok=True)
        journal = Journal(file)
        left = _left(plan, journal)
        minutes = expected_s(left, settings) / 60
        print(f"{len(left)} of {len(plan)} runs to do, about {minutes:.0f} minutes", flush=True)
        if left:
            measure(installed, cache, journal, plan=plan, settings=settings, deadline_s=deadline_s)
    if left := _left(plan, journal):
        print(f"time is over: {len(left)} runs are left; the same command goes on with them")
        return 0
    write(
        options.out or (cache / "quick" if options.quick else RESULTS),
        journal,
        plan,
        settings,
        notes,
    )
    return 0


def _left(plan: Sequence[Run], journal: Journal) -> list[Run]:
    return [run for run in plan if run.key not in journal.records]


def _available(routers: Sequence[Router]) -> tuple[list[Router], list[str]]:
    """Those whose policy this controller has, and a sentence about each other."""
    lacking = [each for each in routers if each.policy not in {None, *REGISTRY}]
    notes = [f"Left out: {each}; there is no policy {each.policy}." for each in lacking]
    for note in notes:
        print(note, flush=True)
    return [each for each in routers if each not in lacking], notes


@contextlib.contextmanager
def _alone(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"another bench holds {lock.name}") from None
        yield


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.real", description=__doc__)
    parser.add_argument("--repeats", type=_positive, help="of every run (3)")
    parser.add_argument(
        "--throttled-repeats", type=_positive, help="of those with a throttled server (the same)"
    )
    parser.add_argument("--loads", type=_loads, help="in percent of the capacity (60,75,90)")
    parser.add_argument("--routers", type=_routers, default=tuple(Router), help="(all)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds", type=_above_zero, default=60.0, help="of sending in a run (60)"
    )
    length.add_argument("--requests", type=_positive, help="in a run, whatever the load")
    parser.add_argument("--scrape", type=_positive, default=2, help="interval in seconds (2)")
    parser.add_argument("--capacity", type=_above_zero, help="in requests/s; not measured then")
    parser.add_argument(
        "--throttle",
        action=argparse.BooleanOptionalAction,
        help="also slow a server half-way, at the lowest load (yes)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one repeat at 75 %%, not kept in results"
    )
    parser.add_argument("--minutes", type=_above_zero, default=180.0, help="at most (180)")
    parser.add_argument("--fresh", action="store_true", help="forget the runs that are finished")
    parser.add_argument("--out", type=Path, help="directory of the results")
    options = parser.parse_args()
    quick = options.quick
    defaults = {"repeats": 1 if quick else 3, "loads": (75,) if quick else (60, 75, 90)}
    for name, value in {**defaults, "throttle": not quick}.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if Router.CAPACITY_WARM in options.routers and Router.CAPACITY not in options.routers:
        parser.error("capacity-warm starts with the memory of capacity: name both")
    return options


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return value


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("expected a number above 0")
    return value


def _loads(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_positive(part) for part in text.split(",")))


def _routers(text: str) -> tuple[Router, ...]:
    try:
        return tuple(dict.fromkeys(Router(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(Router)}") from None


if __name__ == "__main__":
    sys.exit(main())
