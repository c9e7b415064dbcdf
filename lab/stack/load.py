"""`python -m lab.stack.load URL`: an endless load, and incidents that are worth watching.

Each round lasts a quarter of an hour: calm at first, then a fast server runs at a quarter of its
speed for two minutes, then another one freezes behind an API that still says 200, for long enough
that somebody is told. A server that is ill when the load is stopped is made well.

Environment: LOAD_SERVERS (host:port, separated by spaces), LOAD_RATE (requests per second),
LOAD_INCIDENTS (on or off).
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

from lab.load import Lengths, Load, percentile, poisson

LENGTHS = Lengths(prompt=(64, 192), output=(64, 192))
# Load is sent and reported in pieces of this length.
PIECE_S = 30.0
# An answer may take as long as Nginx waits for one.
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Change:
    """Settings of a simulated server, and what they are for a person."""

    settings: Mapping[str, object]
    told: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A server is ill for some time of a round, in seconds after its beginning."""

    from_s: float
    until_s: float
    server: int
    ill: Change
    well: Change


ROUND_S = 900.0
INCIDENTS: Sequence[Incident] = (
    Incident(
        180.0,
        300.0,
        2,
        Change({"speed": 0.25}, "is throttled to a quarter of its speed"),
        Change({"speed": 1.0}, "runs at its full speed again"),
    ),
    Incident(
        360.0,
        720.0,
        0,
        Change({"fault": "freeze_engine"}, "freezes; its API goes on saying 200"),
        Change({"fault": "none"}, "works again"),
    ),
)
# One process of Python sends no more requests per second in time.
MOST_RATE = 1000


class OptionError(ValueError):
    """What was given on the command line or in the environment cannot be used."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to send where.

    Attributes:
        url: Of the entry point.
        servers: host:port of the simulated servers.
        rate: Requests per second.
        incidents: Whether servers are made ill.
    """

    url: str
    servers: tuple[str, ...]
    rate: float
    incidents: bool


def options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read the options.

    Raises:
        OptionError: Every fault, in a sentence.
    """
    faults = []
    if len(arguments) != 1 or not arguments[0].startswith(("http://", "https://")):
        faults.append("expected one argument, the URL of the entry point")
    servers = tuple(environment.get("LOAD_SERVERS", "").split())
    switch = environment.get("LOAD_INCIDENTS", "on")
    if switch not in {"on", "off"}:
        faults.append(f"LOAD_INCIDENTS={switch}: expected on or off")
    most = max(each.server for each in INCIDENTS)
    if switch == "on" and len(servers) <= most:
        faults.append(f"LOAD_SERVERS: expected {most + 1} servers or more for the incidents")
    try:
        rate = float(text := environment.get("LOAD_RATE", "6"))
    except ValueError:
        rate = 0.0
    if not 0 < rate <= MOST_RATE:
        wanted = f"requests per second, more than 0, at most {MOST_RATE}"
        faults.append(f"LOAD_RATE={text}: expected {wanted}")
    if faults:
        raise OptionError("; ".join(faults))
    return Options(arguments[0], servers, rate, switch == "on")


def main() -> int:
    """Send until told to stop; returns the exit code."""
    try:
        chosen = options(sys.argv[1:], os.environ)
    except OptionError as fault:
        print(f"load: {fault}", file=sys.stderr)
        return 2
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(chosen))
    return 0


async def _run(chosen: Options) -> None:
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    print(f"load: {chosen.rate:g} requests/s to {chosen.url}", flush=True)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_send(chosen))
        if chosen.incidents:
            tasks.create_task(_disturb(chosen.servers))


async def _send(chosen: Options) -> None:
    """One piece after the other; the answers of one may end in the time of the next."""
    clock = asyncio.get_running_loop()
    model = await _served_model(chosen.url)
    start_s = clock.time()
    async with asyncio.TaskGroup() as pieces:
        piece = 0
        while True:
            pieces.create_task(_piece(chosen, model, piece))
            piece += 1
            await asyncio.sleep(start_s + piece * PIECE_S - clock.time())


async def _piece(chosen: Options, model: str, seed: int) -> None:
    arrivals = poisson(chosen.rate, PIECE_S, LENGTHS, seed)
    load = Load(chosen.url, arrivals, model=model, timeout_s=TIMEOUT_S)
    await load.run()
    firsts = [ttft_s for _, ttft_s in load.first_tokens]
    worst_s = percentile(firsts, 99)
    shown = "none" if worst_s is None else f"{1e3 * worst_s:.0f} ms"
    failed = sum(outcome.error is not None for outcome in load.outcomes)
    print(
        f"load: {len(load.outcomes)} requests, {failed} failed, P99 of the first token {shown}",
        flush=True,
    )


async def _served_model(url: str) -> str:
    """The model behind the entry point; asked until there is one."""
    async with aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, KeyError, IndexError):
                async with session.get(f"{url}/v1/models") as answer:
                    if answer.status == HTTPStatus.OK:
                        return str((await answer.json())["data"][0]["id"])
            await asyncio.sleep(1)


async def _disturb(servers: Sequence[str]) -> None:
    clock = asyncio.get_running_loop()
    round_s = clock.time()
    async with aiohttp.ClientSession() as session:
        while True:
            for incident in INCIDENTS:
                address = servers[incident.server]
                await asyncio.sleep(round_s + incident.from_s - clock.time())
                try:
                    await _change(session, address, incident.ill)
                    await asyncio.sleep(round_s + incident.until_s - clock.time())
                finally:
                    await _change(session, address, incident.well)
            round_s += ROUND_S


async def _change(session: aiohttp.ClientSession, address: str, change: Change) -> None:
    try:
        url = f"http://{address}/simulator"
        async with session.post(url, json=dict(change.settings)) as answer:
            answer.raise_for_status()
    except (aiohttp.ClientError, OSError) as fault:
        print(f"load: {address} cannot be changed: {fault}", flush=True)
    else:
        print(f"load: {address} {change.told}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
