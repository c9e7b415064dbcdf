"""An open-loop load of streaming completions, and what each request met.

Open loop: a request goes out at its time, however many are still unanswered. A closed loop would
send less to a slow router and so hide how slow it is. For the same reason TTFT and end-to-end time
count from when a request was due, not from when it was sent.
"""

import asyncio
import itertools
import math
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

_USAGE = re.compile(rb'"completion_tokens":\s*(\d+)')


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request to come: due `at_s` seconds after the start, its lengths in tokens."""

    at_s: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Bounds of the lengths in tokens, drawn evenly between them; both are included."""

    prompt: tuple[int, int]
    output: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request.

    Attributes:
        arrival: The request.
        ended_s: When it ended, in seconds after the start of the load.
        late_s: How late the client sent it.
        error: Why it failed; None when it did not.
        backend: Who answered, from X-Upstream-Addr.
        ttft_s: From when it was due to its first token; None when none came.
        tokens: Tokens received.
        gaps_s: Between its successive events, one of which is usually one token.
    """

    arrival: Arrival
    ended_s: float
    late_s: float
    error: str | None
    backend: str | None
    ttft_s: float | None
    tokens: int
    gaps_s: tuple[float, ...]

    @property
    def e2e_s(self) -> float:
        """From when it was due to its end."""
        return self.ended_s - self.arrival.at_s


def poisson(rate: float, seconds: float, lengths: Lengths, seed: int) -> tuple[Arrival, ...]:
    """Draw arrivals at `rate` per second; the same seed draws the same ones."""
    chance = random.Random(seed)  # noqa: S311 - seeded, not secret
    arrivals = []
    at_s = chance.expovariate(rate)
    while at_s < seconds:
        prompt, output = chance.randint(*lengths.prompt), chance.randint(*lengths.output)
        arrivals.append(Arrival(at_s, prompt, output))
        at_s += chance.expovariate(rate)
    return tuple(arrivals)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that `percent` % of the values do not exceed; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


class EventReader:
    """Reads an answer's server-sent events as they come, without decoding those of tokens."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        """When each event with a token came."""
        self.backend: str | None = None
        self.failed = False
        self.ended = False
        self._counted: int | None = None
        self._rest = b""

    @property
    def tokens(self) -> int:
        """Tokens received: as the usage event says, else one per event."""
        return len(self.times_s) if self._counted is None else self._counted

    def feed(self, data: bytes, now_s: float) -> None:
        """Take what has come; an event may come in parts."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if event == b"data: [DONE]":
                self.ended = True
            elif event.startswith((b'data: {"error":', b'data: {"object":"error"')):
                self.failed = True
            elif b'"choices":[]' in event:
                if found := _USAGE.search(event):
                    self._counted = int(found[1])
            elif event.startswith(b"data: "):
                self.times_s.append(now_s)


class Load:
    """Sends arrivals and collects outcomes; another thread may read both meanwhile."""

    def __init__(
        self, url: str, arrivals: Sequence[Arrival], *, model: str, timeout_s: float = 600.0
    ) -> None:
        self.arrivals = arrivals
        self.sent = 0
        self.outcomes: list[Outcome] = []
        self.first_tokens: list[tuple[float, float]] = []
        """For each request whose first token has come: when after the start, and its TTFT."""
        self._url = f"{url}/v1/completions"
        self._model = model
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._start_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start_s

    async def run(self) -> None:
        """Send everything and wait for every end; when cancelled, what is open has failed.

        Each request has a connection of its own: one kept open may be closed by a reload in the
        very moment of its use, and that says nothing about the router.
        """
        self._start_s = time.monotonic()
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=self._timeout) as session,
            asyncio.TaskGroup() as requests,
        ):
            for arrival in self.arrivals:
                await asyncio.sleep(arrival.at_s - self.elapsed_s)
                self.sent += 1
                requests.create_task(self._request(session, arrival))

    async def _request(self, session: aiohttp.ClientSession, arrival: Arrival) -> None:
        late_s = self.elapsed_s - arrival.at_s
        events = EventReader()
        try:
            error = await self._receive(session, arrival, events)
        except asyncio.CancelledError:
            error = "cut by the client"
        except TimeoutError:
            error = "timeout"
        except aiohttp.ClientPayloadError:
            error = "stream cut"
        except (aiohttp.ClientError, OSError) as fault:
            error = type(fault).__name__
        times_s = events.times_s
        self.outcomes.append(
            Outcome(
                arrival=arrival,
                ended_s=self.elapsed_s,
                late_s=late_s,
                error=error,
                backend=events.backend,
                ttft_s=times_s[0] - arrival.at_s if times_s else None,
                tokens=events.tokens,
                gaps_s=tuple(b - a for a, b in itertools.pairwise(times_s)),
            )
        )

    async def _receive(
        self, session: aiohttp.ClientSession, arrival: Arrival, events: EventReader
    ) -> str | None:
        """Receive one answer; says why it is a failure, None for a success."""
        body = {
            "model": self._model,
            "prompt": [1] * arrival.prompt_tokens,
            "max_tokens": arrival.output_tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with session.post(self._url, json=body) as response:
            # After a retry all that were tried stand there; the last one answered.
            tried = response.headers.get("X-Upstream-Addr", "").split(",")
            events.backend = tried[-1].strip() or None
            if response.status != HTTPStatus.OK:
                return f"HTTP {response.status}"
            async for data in response.content.iter_any():
                first = not events.times_s
                events.feed(data, self.elapsed_s)
                if first and events.times_s:
                    now_s = events.times_s[0]
                    self.first_tokens.append((now_s, now_s - arrival.at_s))
        if events.failed:
            return "error event"
        return None if events.ended else "stream cut"
