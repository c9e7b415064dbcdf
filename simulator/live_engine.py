"""An engine that steps in real time and hands each token to whoever waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from simulator.settings import Fault, Settings

if TYPE_CHECKING:
    from simulator.engine import Engine
    from simulator.engine_values import Request, StepResult
    from simulator.metrics import EngineMetrics

# Steps that were late are made up for, so that the pace holds over time; but after a pause longer
# than this (a suspended machine, a frozen engine) the clock restarts instead of racing.
_LONGEST_CATCH_UP_S: Final = 0.5

_NOT_STEPPING: Final = frozenset({Fault.FREEZE_ENGINE, Fault.SLEEP})


class TokenSink(Protocol):
    """Where the tokens of one request go; called from the step loop, so it must not block."""

    def token(self) -> None:
        """Take a token that is not the last."""

    def last_token(self) -> None:
        """Take the last token."""

    def fail(self, message: str) -> None:
        """Learn that no more tokens come."""


class LiveEngine:
    """Paces an engine with the event loop's clock: step k ends at an absolute deadline."""

    def __init__(self, engine: Engine, metrics: EngineMetrics) -> None:
        self._engine = engine
        self._metrics = metrics
        self._sinks: dict[str, TokenSink] = {}
        self._changed = asyncio.Event()
        self._settings = Settings(engine.speed, engine.num_gpu_blocks)
        self.worst_lag_s = 0.0
        """The latest that tokens came out behind their deadline; high when the machine is full."""

    @property
    def settings(self) -> Settings:
        """The present settings."""
        return self._settings

    def check(self, request: Request) -> None:
        """Raise RequestRefusedError when the engine could never serve the request."""
        self._engine.check(request)

    def submit(self, request: Request, sink: TokenSink) -> None:
        """Queue a request; RequestRefusedError when the engine could never serve it."""
        self._engine.add(request)
        self._sinks[request.id] = sink
        self._changed.set()

    def abort(self, request_id: str) -> None:
        """Forget a request if it still lives: its client is gone, or has all its tokens."""
        self._sinks.pop(request_id, None)
        if self._engine.abort(request_id):
            self._metrics.count_aborted()
            self._changed.set()

    def apply(self, settings: Settings) -> None:
        """Change the settings; a change of speed begins with the next step."""
        before, self._settings = self._settings, settings
        self._engine.speed = settings.speed
        if settings.num_gpu_blocks != before.num_gpu_blocks:
            self._resize(settings.num_gpu_blocks)
        if settings.fault is Fault.SLEEP:
            self._metrics.count_preemptions(len(self._engine.preempt_all()))
        self._metrics.set_awake(awake=settings.fault is not Fault.SLEEP)
        self._changed.set()

    async def run(self) -> None:
        """Step for ever, until cancelled."""
        clock = asyncio.get_running_loop().time
        start_s = clock()
        while True:
            if not self._engine.has_work or self._settings.fault in _NOT_STEPPING:
                self._publish()
                await self._wait_for_change()
                start_s = clock()
                continue
            result = self._engine.step(start_s)
            await asyncio.sleep(result.ended_s - clock())
            self.worst_lag_s = max(self.worst_lag_s, clock() - result.ended_s)
            while self._settings.fault is Fault.FREEZE_ENGINE:
                await self._wait_for_change()
            self._deliver(result)
            late = clock() - result.ended_s > _LONGEST_CATCH_UP_S
            start_s = clock() if late else result.ended_s

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _deliver(self, result: StepResult) -> None:
        """Hand out the tokens of a step that is over, and publish what it did."""
        last = {finished.request.id for finished in result.finished}
        sinks = self._sinks
        for request_id in result.emitted:
            sink = sinks.get(request_id)
            if sink is None:  # aborted while the step ran
                continue
            if request_id in last:
                del sinks[request_id]
                sink.last_token()
            else:
                sink.token()
        self._metrics.observe_step(result)
        self._publish()

    def _publish(self) -> None:
        """Show the engine's state, unless it is frozen and can no longer tell anyone."""
        if self._settings.fault is not Fault.FREEZE_ENGINE:
            self._metrics.set_state(
                running=self._engine.num_running,
                waiting=self._engine.num_waiting,
                kv_usage=self._engine.kv_usage,
            )

    def _resize(self, num_gpu_blocks: int) -> None:
        resized = self._engine.set_num_gpu_blocks(num_gpu_blocks)
        self._metrics.set_num_gpu_blocks(num_gpu_blocks)
        self._metrics.count_preemptions(len(resized.preempted))
        for request_id in resized.refused:
            self._metrics.count_failed()
            self._sinks.pop(request_id).fail("the request no longer fits into the KV cache")
