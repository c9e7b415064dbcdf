"""The long-running controller: ticks, HTTP interface, signals, state."""

import signal
import threading
import time
from types import FrameType

import structlog

from controller.app.api import Answers, Api
from controller.app.log import tick_event
from controller.app.loop import Loop, Result
from controller.app.status import status
from controller.app.telemetry import Telemetry
from controller.app.ticker import Ticker
from controller.app.wiring import Parts

# Ticks that may be missed before the controller calls itself dead: one slow Prometheus is not it.
MISSED_TICKS = 3
# The memory is small, but a disk need not see it at every tick.
SAVE_EVERY_S = 30.0


class Service:
    """Runs ticks until it is told to stop.

    Raises:
        ListenError: The HTTP interface cannot listen now.
    """

    def __init__(self, parts: Parts, version: str) -> None:
        self._parts = parts
        self._log = structlog.get_logger("vllm_nginx_lb")
        self._telemetry = Telemetry(version, parts.interval_s, parts.pools)
        self._loop = self._restore()
        self._stop = threading.Event()
        self._started_s = time.monotonic()
        self._ticked_s: float | None = None
        self._saved_s = time.monotonic()
        self._requests = 0
        answers = Answers(
            self._telemetry.registry, self._status, self._why_dead, self._why_not_ready
        )
        self._api = Api(parts.listen, answers)
        self._ticker = Ticker(
            self._tick,
            parts.interval_s,
            on_skipped=self._on_skipped,
            on_crashed=self._on_crashed,
        )

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; a tick that runs then is finished."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        # Its default would end the process without a word.
        signal.signal(signal.SIGHUP, self._on_hangup)
        self._api.start()
        self._log.info("started", interval_s=self._parts.interval_s, listen=self._parts.listen)
        try:
            self._ticker.run_until(self._stop)
        finally:
            self._save()
            self._api.stop()
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
        troubled = tick.result == Result.FAILED or tick.snapshot.error or tick.nginx.detail
        level = self._log.warning if troubled else self._log.info
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
            self._telemetry.unsaved.inc()
            file = self._parts.store.path
            self._log.warning("memory not saved", file=str(file), error=error.strerror)

    def _on_stop(self, number: int, _: FrameType | None) -> None:
        self._log.info("stopping", signal=signal.Signals(number).name)
        self._stop.set()

    def _on_hangup(self, *_: object) -> None:
        self._log.warning("hangup ignored", detail="restart to take up a changed configuration")

    def _on_skipped(self) -> None:
        self._telemetry.skipped.inc()
        self._log.warning("tick skipped", detail="the last one still runs")

    def _on_crashed(self, error: BaseException) -> None:
        self._telemetry.crashed.inc()
        self._log.error("tick crashed", exc_info=error)

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
        if not any(applied.pools.values()):
            return "no pool has a backend yet: each request is a 502"
        return None
