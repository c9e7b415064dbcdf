"""Runs the tick: at once, then at a steady pace, whatever happens to the wall clock."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

# A tick that is this many intervals late was not slow: the scheduler waits for a time that the wall
# clock, set back, reaches again only after that.
LATE_INTERVALS = 2


class Ticker:
    """A scheduler with one job, and a watch over it."""

    def __init__(
        self,
        tick: Callable[[], None],
        interval_s: float,
        *,
        on_skipped: Callable[[], None],
        on_crashed: Callable[[BaseException], None],
    ) -> None:
        self._interval_s = interval_s
        self._on_skipped = on_skipped
        self._on_crashed = on_crashed
        self._tick = tick
        self._running = False
        self._last_s = time.monotonic()
        self.scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)}, timezone="UTC"
        )
        self.scheduler.add_listener(self._on_event, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
        self._job = self.scheduler.add_job(
            self._run,
            "interval",
            seconds=interval_s,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            # At once: Nginx may still serve a placeholder.
            next_run_time=datetime.now(UTC),
        )

    def run_until(self, stop: threading.Event) -> None:
        """Tick until the event is set; a tick that runs then is finished."""
        self.scheduler.start()
        try:
            while not stop.wait(self._interval_s):
                self._revive()
        finally:
            self.scheduler.shutdown(wait=True)

    def _revive(self) -> None:
        late_s = time.monotonic() - self._last_s
        if not self._running and late_s > LATE_INTERVALS * self._interval_s:
            self._job.modify(next_run_time=datetime.now(UTC))

    def _run(self) -> None:
        self._running = True
        self._last_s = time.monotonic()
        try:
            self._tick()
        finally:
            self._running = False

    def _on_event(self, event: JobExecutionEvent) -> None:
        if event.code == EVENT_JOB_MAX_INSTANCES:
            self._on_skipped()
        else:
            self._on_crashed(event.exception)
