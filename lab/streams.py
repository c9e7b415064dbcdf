"""Long streams through Nginx, to see whether a reload breaks or delays any of them.

`python -m lab.streams PORT` is an upstream that answers every request with one event per 100 ms.
Each event carries the time at which it was sent, so its delay is known, not guessed from gaps.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lab.processes import accepts, child, free_port

CADENCE_S = 0.1
_LAST = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What became of the streams.

    Attributes:
        streams: How many were opened.
        broken: Streams that ended before their last event.
        delays_s: Of every event that was received: how many seconds after it was sent.
    """

    streams: int
    broken: int
    delays_s: Sequence[float]

    @property
    def worst_delay_s(self) -> float:
        """The longest delay of all."""
        return max(self.delays_s, default=0.0)


@contextmanager
def stream_server(directory: Path) -> Iterator[str]:
    """Run the upstream until the context ends; gives its `host:port`."""
    port = free_port()
    argv = [sys.executable, "-m", "lab.streams", str(port)]
    with child(argv, directory / "streams.log", ready=lambda: accepts(port)):
        yield f"127.0.0.1:{port}"


async def measure(url: str, streams: int, seconds: float) -> StreamReport:
    """Open streams of this length all at once and read them to their end."""
    results = await asyncio.gather(
        *(_read_stream(url, seconds) for _ in range(streams)), return_exceptions=True
    )
    finished = [each for each in results if isinstance(each, list)]
    delays_s = [delay_s for each in finished for delay_s in each]
    return StreamReport(streams, streams - len(finished), delays_s)


async def _read_stream(url: str, seconds: float) -> list[float]:
    """How late each event came.

    Raises:
        ConnectionError: The stream ended early.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    delays_s: list[float] = []
    try:
        request = f"GET {parts.path}?seconds={seconds} HTTP/1.0\r\nHost: lab\r\n\r\n"
        writer.write(request.encode())
        while line := await reader.readline():
            if line.startswith(b"data: ") and not _LAST.startswith(line):
                delays_s.append(time.monotonic() - float(line[6:]))
            elif line and _LAST.startswith(line) and line.startswith(b"data"):
                return delays_s
    finally:
        writer.close()
    raise ConnectionError(f"ended after {len(delays_s)} events")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := (await reader.readline()).decode():
            head = await reader.readuntil(b"\r\n\r\n")
            del head
            seconds = float(line.partition("seconds=")[2].split()[0])
            await _stream(writer, seconds)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client, or Nginx for it, has left
    finally:
        writer.close()


async def _stream(writer: asyncio.StreamWriter, seconds: float) -> None:
    start = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(start.encode())
    next_s = time.monotonic()
    end_s = next_s + seconds
    while next_s < end_s:
        _chunk(writer, f"data: {time.monotonic():.6f}\n\n".encode())
        await writer.drain()
        next_s += CADENCE_S
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
    _chunk(writer, _LAST)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
