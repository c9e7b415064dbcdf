"""The pace of the ticks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from controller.app.ticker import Ticker
from lab.processes import await_true


class Counted:
    """A tick that counts, and fails when it is told to."""

    def __init__(self) -> None:
        self.ticks = 0
        self.skipped = 0
        self.crashes: list[BaseException] = []
        self.error: Exception | None = None
        self.block = threading.Event()
        self.block.set()

    def tick(self) -> None:
        """One tick."""
        self.ticks += 1
        self.block.wait(10)
        if self.error is not None:
            raise self.error

    def skip(self) -> None:
        """One tick that did not start."""
        self.skipped += 1


@contextmanager
def ticking(counted: Counted) -> Iterator[Ticker]:
    """Tick every 50 ms until the context ends."""
    stop = threading.Event()
    ticker = Ticker(counted.tick, 0.05, on_skipped=counted.skip, on_crashed=counted.crashes.append)
    thread = threading.Thread(target=ticker.run_until, args=(stop,))
    thread.start()
    try:
        yield ticker
    finally:
        counted.block.set()
        stop.set()
        thread.join()


def test_ticks_go_on_after_the_clock_was_set_back() -> None:
    """A next tick that lies an hour ahead, as after a step of the clock, does not stop the pace."""
    counted = Counted()
    with ticking(counted) as ticker:
        await_true(lambda: counted.ticks >= 2, 5, "two ticks")
        (job,) = ticker.scheduler.get_jobs()
        job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))
        seen = counted.ticks
        await_true(lambda: counted.ticks >= seen + 3, 5, "ticks go on")


def test_a_crash_is_told_and_the_next_tick_runs() -> None:
    """An exception in a tick is handed on and ends nothing."""
    counted = Counted()
    counted.error = RuntimeError("broken")
    with ticking(counted):
        await_true(lambda: len(counted.crashes) >= 2, 5, "two crashes")
    assert all(str(each) == "broken" for each in counted.crashes)


def test_a_slow_tick_is_not_run_twice_at_a_time() -> None:
    """While a tick runs the next ones are skipped, and counted."""
    counted = Counted()
    counted.block.clear()
    with ticking(counted):
        await_true(lambda: counted.skipped >= 2, 5, "two skipped")
        assert counted.ticks == 1
