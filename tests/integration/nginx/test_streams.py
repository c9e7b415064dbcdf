"""Streams go through reloads unharmed."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from controller.adapters.nginx import LocalNginx
from lab.nginx import RunningNginx, nginx
from lab.streams import CADENCE_S, StreamReport, measure, stream_server
from tests.integration.nginx.cases import file_of, local_settings

pytestmark = pytest.mark.integration

STREAMS = 200
SECONDS = 30.0
RELOADS = 10
RELOAD_EACH_S = 2.5
# A reload takes about 50 ms; what it delays is delayed within this time.
WINDOW_S = 0.5
ALLOWED_DELAY_S = 0.1


async def reload_often(running: RunningNginx) -> list[float]:
    """Apply one change after the other; the times at which Nginx was told."""
    actuator = LocalNginx(local_settings(running))
    backend = running.upstream_file.read_text().partition("server ")[2].split()[0]
    times = []
    for weight in range(1, RELOADS + 1):
        await asyncio.sleep(RELOAD_EACH_S)
        wanted = file_of(weight, backend)
        times.append(time.monotonic())
        await asyncio.to_thread(actuator.apply, wanted.generation, wanted.text)
    return times


async def through_reloads(running: RunningNginx) -> tuple[StreamReport, list[float]]:
    """Run the streams through the reloads: what became of them, and when the reloads were."""
    return await asyncio.gather(
        measure(f"{running.url}/v1/stream", STREAMS, SECONDS), reload_often(running)
    )


def worst_after(times: list[float], events: Sequence[tuple[float, float]]) -> float:
    """The worst delay in all the windows that begin at these times."""
    return max(
        delay_s
        for at_s, delay_s in events
        if any(start_s <= at_s < start_s + WINDOW_S for start_s in times)
    )


def test_streams_through_reloads(tmp_path: Path) -> None:
    """Of 200 streams through 10 reloads none breaks, and no reload delays an event by 100 ms."""
    with (
        stream_server(tmp_path) as upstream,
        nginx(tmp_path / "nginx", upstream_text=file_of(50, upstream).text) as running,
    ):
        report, reloads = asyncio.run(through_reloads(running))
        errors = running.error_log.read_text().count("[error]")
    assert (report.broken, errors) == (0, 0)
    # Sums of a tenth of a second round either way, so the last event may be one more.
    least = STREAMS * round(SECONDS / CADENCE_S)
    assert least <= len(report.events) <= least + STREAMS
    # As many windows half-way between two reloads show what this machine does on its own.
    quiet = worst_after([at_s + RELOAD_EACH_S / 2 for at_s in reloads], report.events)
    assert worst_after(reloads, report.events) - quiet <= ALLOWED_DELAY_S
