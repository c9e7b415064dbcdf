"""A plugin of vLLM that makes each engine step last as long as on a modelled accelerator.

    step = (base + per_sequence * sequences in the step) * factor

A tiny model on a CPU is done sooner, and the rest of the step is slept. Scheduler, KV cache, API
server and metrics stay vLLM's own. The factor is read anew from a file while the server runs, so
that a server can be slowed and restored under load; without the file it is 1.

This module runs inside vLLM's environment, where nothing of this project is installed.
"""

import ctypes
import functools
import importlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Often enough for a change under load, rare enough to cost nothing beside a step.
READ_EVERY_S = 0.25

_PR_SET_PDEATHSIG = 1


class Factor:
    """The number in a file, read at most every `READ_EVERY_S` seconds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._value = 1.0
        self._read_s: float | None = None

    def at(self, now_s: float) -> float:
        """The factor now; 1 without a file, the one before while the file holds no number."""
        if self._read_s is None or now_s - self._read_s >= READ_EVERY_S:
            self._read_s = now_s
            self._value = self._read()
        return self._value

    def _read(self) -> float:
        try:
            return float(self._file.read_text())
        except FileNotFoundError:
            return 1.0
        except ValueError:  # caught half-written
            return self._value


def paced(
    step: Callable[..., Any],
    base_s: float,
    per_sequence_s: float,
    factor: Factor,
) -> Callable[..., Any]:
    """The step of a worker, stretched to the modelled duration."""

    @functools.wraps(step)
    def execute_model(worker: object, scheduled: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401 - vLLM's own types, unknown here
        started_s = time.monotonic()
        output = step(worker, scheduled, *rest, **named)
        sequences = len(scheduled.num_scheduled_tokens)
        if sequences:
            wanted_s = (base_s + per_sequence_s * sequences) * factor.at(started_s)
            time.sleep(max(0.0, started_s + wanted_s - time.monotonic()))
        return output

    return execute_model


def register() -> None:
    """What vLLM calls in each of its processes."""
    # An engine outlives an API server that was killed, and keeps its gigabyte.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    worker = importlib.import_module("vllm.v1.worker.cpu_worker").CPUWorker
    if hasattr(worker, "engine_pacing"):  # a process may load its plugins twice
        return
    worker.engine_pacing = True
    worker.execute_model = paced(
        worker.execute_model,
        float(os.environ["ENGINE_PACING_BASE_S"]),
        float(os.environ["ENGINE_PACING_PER_SEQUENCE_S"]),
        Factor(Path(os.environ["ENGINE_PACING_FACTOR_FILE"])),
    )
