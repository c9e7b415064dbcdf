"""The load: vLLM's own benchmark client, and what it writes about every request."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.real.figures import Request
from bench.real.install import Installed
from bench.real.servers import (
    LENGTH_SPREAD,
    MODEL_NAME,
    OUTPUT_TOKENS,
    PROMPT_TOKENS,
    client_environment,
)
from lab.processes import Child, child

# Importing torch takes ten seconds of a core that others may use as well.
START_S = 120.0
# For the answers that are still to come when the last request has been sent.
DRAIN_S = 300.0

_FAULT_LENGTH = 200
_STARTED = "Starting main benchmark run"


class ClientError(Exception):
    """The client did not do what it was asked to; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to be sent.

    Attributes:
        requests: How many.
        rate: Per second, at random times; None sends each as soon as one of `at_once` is free.
        at_once: Most in flight; None for no bound.
        seed: Draws lengths, words and times.
    """

    requests: int
    rate: float | None
    seed: int
    at_once: int | None = None

    @property
    def seconds(self) -> float:
        """How long the sending takes; 0 where that is not known."""
        return self.requests / self.rate if self.rate else 0.0


@contextlib.contextmanager
def sending(installed: Installed, url: str, load: Load, directory: Path) -> Iterator[Child]:
    """Send the load from when this begins; the client ends with the context at the latest.

    Raises:
        NotReadyError: The client did not begin; the message ends with its log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "client.log"
    # No plugin: the client has no engine that could be paced.
    own = {"PYTHONUNBUFFERED": "1", "VLLM_PLUGINS": ""}
    environment = {**client_environment(directory), **own}
    command = argv(installed, url, load, result_file(directory))
    with child(command, log, cwd=directory, env=environment) as client:
        client.await_ready(lambda: _STARTED in log.read_text(errors="replace"), START_S)
        yield client


def send(
    installed: Installed,
    url: str,
    load: Load,
    directory: Path,
    at_half: Callable[[], None] | None = None,
) -> tuple[Request, ...]:
    """Send the load and wait for all answers.

    Args:
        installed: The client.
        url: The router's.
        load: What to send.
        directory: For the client's log and result; made if absent.
        at_half: Called when half of the sending time is over.

    Raises:
        ClientError: The client failed, or did not end in time.
        NotReadyError: It did not begin.
    """
    with sending(installed, url, load, directory) as client:
        if at_half is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.process.wait(load.seconds / 2)
            at_half()
        try:
            code = client.process.wait(load.seconds + DRAIN_S)
        except subprocess.TimeoutExpired:
            raise ClientError(f"no answer to all requests in time\n{client.tail()}") from None
        if code or not result_file(directory).exists():
            raise ClientError(f"vllm bench serve failed\n{client.tail()}")
    return parse(result_file(directory).read_text())


def result_file(directory: Path) -> Path:
    """Where the client writes."""
    return directory.resolve() / "client.json"


def argv(installed: Installed, url: str, load: Load, result: Path) -> list[str | Path]:
    """The command line of the client."""
    options: dict[str, object] = {
        "--backend": "openai",
        "--base-url": url,
        "--endpoint": "/v1/completions",
        "--model": MODEL_NAME,
        "--tokenizer": installed.model,
        "--dataset-name": "random",
        "--random-input-len": PROMPT_TOKENS,
        "--random-output-len": OUTPUT_TOKENS,
        "--random-range-ratio": LENGTH_SPREAD,
        "--num-prompts": load.requests,
        "--request-rate": load.rate or "inf",
        "--seed": load.seed,
        "--temperature": 0,
        "--result-dir": result.parent,
        "--result-filename": result.name,
    }
    if load.at_once is not None:
        options["--max-concurrency"] = load.at_once
    words = [str(part) for option in options.items() for part in option]
    switches = ["--ignore-eos", "--save-result", "--save-detailed", "--disable-tqdm"]
    return [installed.vllm, "bench", "serve", *words, *switches]


def parse(text: str) -> tuple[Request, ...]:
    """The requests in the client's result, in the order in which they were sent.

    Raises:
        ClientError: The result is not what `--save-detailed` writes.
    """
    try:
        found = json.loads(text)
        columns = [found[name] for name in _COLUMNS]
        rows = sorted(zip(*columns, strict=True), key=lambda row: float(row[0]))
        return tuple(_request(row, float(rows[0][0])) for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        raise ClientError(f"not a detailed result of vllm bench serve: {error!r}") from error


_COLUMNS = ("start_times", "ttfts", "latencies", "output_lens", "itls", "errors")


def _request(row: tuple[Any, ...], first_s: float) -> Request:
    start_s, ttft_s, e2e_s, tokens, itls_s, error = row
    return Request(
        start_s=round(float(start_s) - first_s, 3),
        ttft_s=round(float(ttft_s), 4),
        e2e_s=round(float(e2e_s), 4),
        tokens=int(tokens),
        itls_ms=tuple(round(float(itl_s) * 1000, 1) for itl_s in itls_s),
        error=_fault(error, int(tokens)),
    )


def _fault(error: str, tokens: int) -> str:
    """What went wrong: the last line of a traceback, something where the client has no word."""
    lines = error.strip().splitlines()
    if lines:
        return lines[-1][:_FAULT_LENGTH]
    return "" if tokens else "no token"
