"""Streams go through reloads unharmed."""

import asyncio
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


async def reload_often(running: RunningNginx) -> None:
    """Apply one change after the other."""
    actuator = LocalNginx(local_settings(running))
    backend = running.upstream_file.read_text().partition("server ")[2].split()[0]
    for weight in range(1, RELOADS + 1):
        await asyncio.sleep(RELOAD_EACH_S)
        wanted = file_of(weight, backend)
        await asyncio.to_thread(actuator.apply, wanted.generation, wanted.text)


async def through_reloads(running: RunningNginx) -> StreamReport:
    """Run the streams through the reloads: what became of them."""
    report, _ = await asyncio.gather(
        measure(f"{running.url}/v1/stream", STREAMS, SECONDS), reload_often(running)
    )
    return report


def test_streams_through_reloads(tmp_path: Path) -> None:
    """Of 200 streams through 10 reloads none breaks, and none misses an event."""
    with (
        stream_server(tmp_path) as upstream,
        nginx(tmp_path / "nginx", upstream_text=file_of(50, upstream).text) as running,
    ):
        report = asyncio.run(through_reloads(running))
        errors = running.error_log.read_text().count("[error]")
    assert (report.broken, errors) == (0, 0)
    # Sums of a tenth of a second round either way, so the last event may be one more.
    least = STREAMS * round(SECONDS / CADENCE_S)
    assert least <= len(report.delays_s) <= least + STREAMS
