"""The long-running controller: scheduler, HTTP interface, signals, state."""

import signal
import threading
import time
from datetime import UTC, datetime
from types import FrameType

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from controller.app.api import Answers, Api
from controller.app.log import tick_event
from controller.app.loop import Loop, Result
from controller.app.status import status
from controller.app.telemetry import Telemetry
from controller.app.wiring import Parts

# Ticks that may be missed before the controller calls itself dead: one slow Prometheus is not it.
MISSED_TICKS = 3
# The memory is small, but a disk need not see it at every tick.
SAVE_EVERY_S = 30.0


class Service:
    """Runs ticks until it is told to stop."""

    def __init__(self, parts: Parts, version: str) -> None:
        self._parts = parts
        self._log = structlog.get_logger("vllm_nginx_lb")
        self._telemetry = Telemetry(version)
        self._loop = self._restore()
        self._stop = threading.Event()
        self._started_s = time.monotonic()
        self._ticked_s: float | None = None
        self._saved_s = time.monotonic()
        self._requests = 0
        self._api = Api(
            parts.listen,
            Answers(self._telemetry.registry, self._status, self._why_dead, self._why_not_ready),
        )

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; a tick that runs then is finished."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)}, timezone="UTC"
        )
        scheduler.add_listener(self._on_job_event, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
        scheduler.add_job(
            self._tick,
            "interval",
            seconds=self._parts.interval_s,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            # At once: Nginx may still serve a placeholder.
            next_run_time=datetime.now(UTC),
        )
        self._api.start()
        self._log.info("started", interval_s=self._parts.interval_s, listen=self._parts.listen)
        scheduler.start()
        try:
            self._stop.wait()
        finally:
            scheduler.shutdown(wait=True)
            self._save()
            self._api.stop()
            self._parts.close()
            self._log.info("stopped")

    def _restore(self) -> Loop:
        memory, problem = self._parts.memory()
        if problem:
            self._log.warning("starting without memory", detail=problem)
        return Loop(self._parts.wiring, memory)

    def _tick(self) -> None:
        structlog.contextvars.clear_contextvars()
        before = self._loop.memory
        tick = self._loop.tick()
        source = self._parts.source
        made, self._requests = source.requests_made - self._requests, source.requests_made
        self._telemetry.record(tick, query_s=sum(source.last_query_seconds), requests=made)
        self._ticked_s = time.monotonic()
        level = self._log.warning if tick.result == Result.FAILED else self._log.info
        level("tick", **tick_event(tick))
        if tick.memory.applied != before.applied or self._ticked_s - self._saved_s > SAVE_EVERY_S:
            self._save()

    def _save(self) -> None:
        if self._parts.store is None:
            return
        self._saved_s = time.monotonic()
        try:
            self._parts.store.save(self._loop.memory)
        except OSError as error:
            self._log.warning("memory not saved", error=str(error))

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._log.info("stopping", signal=signal.Signals(number).name)
        self._stop.set()

    def _on_job_event(self, event: JobExecutionEvent) -> None:
        if event.code == EVENT_JOB_MAX_INSTANCES:
            self._telemetry.skipped.inc()
            self._log.warning("tick skipped", detail="the last one still runs")
        else:
            self._telemetry.crashed.inc()
            self._log.error("tick crashed", exc_info=event.exception)

    def _status(self) -> dict[str, object] | None:
        tick = self._loop.record
        return None if tick is None else status(tick)

    def _why_dead(self) -> str | None:
        limit_s = MISSED_TICKS * self._parts.interval_s + self._parts.tick_limit_s
        silent_s = time.monotonic() - (self._ticked_s or self._started_s)
        if silent_s > limit_s:
            return f"no tick ended for {silent_s:.0f} s, expected one within {limit_s:.0f} s"
        return None

    def _why_not_ready(self) -> str | None:
        tick = self._loop.record
        if tick is None:
            return "the first tick has not ended yet"
        applied = tick.memory.applied
        if applied is None:
            return f"no generation is confirmed yet: {tick.decision.reason}"
        if tick.served != applied.generation:
            served = tick.served or "no known generation"
            return f"Nginx serves {served}, confirmed was {applied.generation}"
        return None
