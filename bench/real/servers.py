"""Four real `vllm serve` on this machine, unlike in speed, each with a file that can slow it."""

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.real.install import PLUGIN, Installed
from bench.real.model import MAX_TOKENS
from lab.processes import Child, await_true, child

MODEL_NAME = "tiny"
SPEEDS = (1.0, 0.5, 1.0, 0.25)
SLOTS = 16
# On average; the lengths of prompts and outputs are drawn evenly between half and one and a half.
PROMPT_TOKENS = 128
OUTPUT_TOKENS = 128
LENGTH_SPREAD = 0.5
STEP_S = 0.020
STEP_PER_SEQUENCE_S = 0.0005

# Importing torch takes a core for ten seconds, four times.
START_S = 300.0
# The slowest server is done with a full batch in half a minute, slowed threefold in a minute and a
# half, and may hold a queue.
IDLE_S = 300.0
# A page of metrics costs its server ten milliseconds.
METRICS_POLL_S = 0.5

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
# Four servers share few cores: one thread each, bound to none.
_SMALL = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # The engine runs the model in its own process. A worker beside it would spin on shared memory.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A vLLM server that answers at `address`, host:port."""

    address: str
    factor_file: Path
    process: Child

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.address}"

    def slow_down(self, factor: float) -> None:
        """Make every step so many times longer from now on."""
        self.factor_file.write_text(str(factor))

    def restore(self) -> None:
        """Take the factor back."""
        self.factor_file.unlink(missing_ok=True)

    def requests_inside(self) -> int:
        """Requests that run or wait in its engine."""
        text = _get(f"{self.url}/metrics")
        return int(total(text, "vllm:num_requests_running", "vllm:num_requests_waiting"))

    def finished(self) -> int:
        """Requests that it has answered since it started."""
        return int(total(_get(f"{self.url}/metrics"), "vllm:request_success_total"))

    def generated(self) -> int:
        """Tokens that it has generated since it started."""
        return int(total(_get(f"{self.url}/metrics"), "vllm:generation_tokens_total"))

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            _get(f"{self.url}/health")
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False
        return True


@contextlib.contextmanager
def servers(
    installed: Installed, directory: Path, ports: Sequence[int]
) -> Iterator[tuple[RunningServer, ...]]:
    """Run one server per speed until the context ends.

    Args:
        installed: The programs.
        directory: For logs and factors; made if absent.
        ports: As many as there are speeds.

    Raises:
        NotReadyError: One did not start; the message ends with its log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        started = []
        # All start before any is awaited: most of it is reading files.
        for port, speed in zip(ports, SPEEDS, strict=True):
            factor_file = directory / f"factor-{port}"
            factor_file.unlink(missing_ok=True)
            process = stack.enter_context(
                child(
                    argv(installed, port),
                    directory / f"vllm-{port}.log",
                    cwd=directory,
                    env=environment(directory, speed, factor_file),
                )
            )
            started.append(RunningServer(f"127.0.0.1:{port}", factor_file, process))
        for server in started:
            server.process.await_ready(server.answers, START_S)
        yield tuple(started)


def argv(installed: Installed, port: int) -> list[str | Path]:
    """The command line of a server."""
    options = {
        "--served-model-name": MODEL_NAME,
        "--host": "127.0.0.1",
        "--port": port,
        "--load-format": "dummy",
        # bfloat16 would use AMX, which some virtual machines announce and do not permit.
        "--dtype": "float32",
        "--distributed-executor-backend": "uni",
        "--max-model-len": MAX_TOKENS,
        "--max-num-seqs": SLOTS,
        "--max-num-batched-tokens": MAX_TOKENS,
        "--block-size": 32,
        # 8,192 tokens: the slots are full before the cache is.
        "--num-gpu-blocks-override": 256,
    }
    words = [str(part) for option in options.items() for part in option]
    # Every router is sent the same prompts: a cache would serve all but the first.
    switches = ["--enforce-eager", "--no-enable-prefix-caching", "--disable-uvicorn-access-log"]
    return [installed.vllm, "serve", installed.model, *words, *switches]


def environment(directory: Path, speed: float, factor_file: Path) -> dict[str, str]:
    """What the environment tells a server and the plugin in it."""
    return {
        **client_environment(directory),
        **_SMALL,
        "ENGINE_PACING_BASE_S": str(STEP_S / speed),
        "ENGINE_PACING_PER_SEQUENCE_S": str(STEP_PER_SEQUENCE_S / speed),
        "ENGINE_PACING_FACTOR_FILE": str(factor_file.resolve()),
    }


def client_environment(directory: Path) -> dict[str, str]:
    """What any program of vLLM needs to be told: no network, no files outside the directory."""
    return {
        **_OFFLINE,
        "PYTHONPATH": str(PLUGIN),
        "VLLM_CACHE_ROOT": str(directory.resolve() / "vllm-cache"),
        "HF_HOME": str(directory.resolve() / "huggingface"),
    }


def modelled_requests_per_s() -> float:
    """What the servers answer together when all slots are full, by the modelled steps alone."""
    tokens_per_s = SLOTS * sum(SPEEDS) / (STEP_S + STEP_PER_SEQUENCE_S * SLOTS)
    return tokens_per_s / OUTPUT_TOKENS


def await_idle(running: Sequence[RunningServer]) -> None:
    """Wait until no engine holds a request.

    Raises:
        NotReadyError: One still does after `IDLE_S` seconds.
    """

    def idle() -> bool:
        return all(server.requests_inside() == 0 for server in running)

    await_true(idle, IDLE_S, "all engines idle", poll_s=METRICS_POLL_S)


def total(metrics: str, *names: str) -> float:
    """The sum of the samples of these series, over all their labels."""
    wanted = tuple(f"{name}{{" for name in names)
    return sum(
        float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(wanted)
    )


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - an address made here
        return str(answer.read().decode())
