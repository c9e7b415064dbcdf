"""A simulated vLLM server in real time: `python -m simulator.server --port 8000`.

It speaks the OpenAI protocol, exposes vLLM's metrics, and can be slowed, shrunk or made ill while
it runs, through /simulator.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from simulator.api import Api
from simulator.engine import Engine
from simulator.http_metrics import new_registry
from simulator.live_engine import LiveEngine
from simulator.metrics import EngineMetrics
from simulator.parameters import RESERVED_BLOCKS
from simulator.presets import LAB, PRESETS
from simulator.settings import Settings, changed_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.parameters import EngineParameters

# Nothing is drained: a stop is as abrupt for clients as that of a killed process.
_SHUTDOWN_TIMEOUT_S: Final = 0.1
# Connections that may wait while the step loop is busy; a burst must not be refused.
_BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What a server is started with.

    Attributes:
        host: address to listen on.
        port: port to listen on, 0 for any free one.
        model: name of the only model it serves.
        parameters: its engine.
        speed: how many times faster than its parameters the engine steps.
    """

    host: str = "127.0.0.1"
    port: int = 0
    model: str = "simulated"
    parameters: EngineParameters = LAB
    speed: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a speed the server cannot be told later either.

        Raises:
            SettingsError: a ValueError, naming the speed.
        """
        changed_settings(Settings(self.speed, RESERVED_BLOCKS + 1), {"speed": self.speed})


class RunningServer:
    """A started server; several can live in one event loop."""

    def __init__(
        self, config: ServerConfig, runner: web.AppRunner, steps: asyncio.Task[None]
    ) -> None:
        self.host = config.host
        self.port: int = runner.addresses[0][1]
        self._runner = runner
        self._steps = steps

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    async def failed(self) -> None:
        """Wait until the step loop breaks, and raise what broke it."""
        await asyncio.shield(self._steps)

    async def close(self) -> None:
        """Stop listening, cut all connections and stop stepping."""
        await self._runner.cleanup()
        self._steps.cancel()
        await asyncio.wait([self._steps])


async def start(config: ServerConfig) -> RunningServer:
    """Start a server in the running event loop.

    Raises:
        OSError: when the address cannot be listened on.
    """
    registry = new_registry()
    parameters = config.parameters
    engine = LiveEngine(
        Engine(parameters, config.speed), EngineMetrics(registry, config.model, parameters)
    )
    api = Api(engine, registry, model=config.model, max_model_len=parameters.max_model_len)
    runner = web.AppRunner(
        api.application(),
        access_log=None,
        handler_cancellation=True,  # a client that leaves must free its place in the engine
        shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, backlog=_BACKLOG).start()
    except OSError:
        await runner.cleanup()
        raise
    return RunningServer(config, runner, asyncio.create_task(engine.run()))


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[ServerConfig, Path | None]:
    """Read the command line: the server's configuration, and where to write its port.

    Raises:
        SystemExit: with a message, when the arguments make no server.
    """
    parser = argparse.ArgumentParser(prog="python -m simulator.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port (default)")
    parser.add_argument("--model", default="simulated", help="served model name")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="lab")
    parser.add_argument("--speed", type=float, default=1.0, help="times faster than the preset")
    parser.add_argument("--max-num-seqs", type=int, help="instead of the preset's")
    parser.add_argument("--max-model-len", type=int, help="instead of the preset's")
    parser.add_argument("--num-gpu-blocks", type=int, help="instead of the preset's")
    parser.add_argument("--port-file", type=Path, help="file to write the port to, when ready")
    chosen = parser.parse_args(arguments)
    changes = {
        name: value
        for name in ("max_num_seqs", "max_model_len", "num_gpu_blocks")
        if (value := getattr(chosen, name)) is not None
    }
    try:
        config = ServerConfig(
            host=chosen.host,
            port=chosen.port,
            model=chosen.model,
            parameters=dataclasses.replace(PRESETS[chosen.preset], **changes),
            speed=chosen.speed,
        )
    except ValueError as error:
        parser.error(str(error))
    return config, chosen.port_file


async def serve(config: ServerConfig, port_file: Path | None = None) -> None:
    """Run one server until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await start(config)
    if port_file is not None:
        _write_port(port_file, server.port)
    print(f"ready {server.url} model={config.model}", flush=True)
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(server.failed())]
    done, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await server.close()
    for task in done:
        task.result()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    config, port_file = parse_arguments(arguments)
    try:
        asyncio.run(serve(config, port_file))
    except OSError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1
    return 0


def _write_port(path: Path, port: int) -> None:
    """Write the port so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(f"{port}\n", encoding="ascii")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
