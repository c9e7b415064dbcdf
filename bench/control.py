"""What the control loop costs: `make bench-control` (or `python -m bench.control [--quick]`).

Measures push to confirmation for both ways to Nginx, CPU per tick against the number of backends,
HTTP requests per tick, resident memory, streams through reloads, and the rate of requests through
Nginx with and without the controller. Writes bench/results/control.json and control.md.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import provenance
from bench.fleet_exporter import instance
from controller.adapters.nginx import (
    Endpoint,
    LocalNginx,
    LocalSettings,
    SharedSettings,
    SharedVolumeNginx,
)
from controller.app.load import parse
from controller.app.loop import Loop
from controller.app.wiring import build
from controller.core.memory import Memory
from controller.core.model import Server
from controller.core.ports import Actuator
from controller.core.render import Rendered, Upstream, render
from lab.nginx import RunningNginx, nginx, seed_text, watcher
from lab.processes import accepts, await_true, child, free_port
from lab.prometheus import RunningPrometheus, prometheus, scrape_job
from lab.streams import StreamReport, measure, stream_server

RESULTS = Path(__file__).parent / "results"
FLEETS = (10, 100, 1000, 10000)
POOL = "llm"


def main() -> None:
    """Run all measurements and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats; writes nothing")
    quick = parser.parse_args().quick
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-control-") as name:
        work = Path(name)
        found["push_to_confirmed_ms"] = push_to_confirmed(work / "push", 5 if quick else 30)
        _say("push to confirmed, ms", found["push_to_confirmed_ms"])
        fleets = FLEETS[:3] if quick else FLEETS
        ticks = {size: tick_cost(work / f"ticks-{size}", size) for size in fleets}
        found["tick_cpu_ms"] = {size: cost["cpu_ms"] for size, cost in ticks.items()}
        found["tick_wall_ms"] = {size: cost["wall_ms"] for size, cost in ticks.items()}
        found["http_requests_per_tick"] = max(cost["requests"] for cost in ticks.values())
        _say("CPU per tick, ms", found["tick_cpu_ms"])
        _say("HTTP requests per tick", found["http_requests_per_tick"])
        found |= service_cost(work / "service", 1000, 10 if quick else 40)
        _say("resident memory of the service with 1,000 backends, MB", found["rss_mb"])
        found |= streams_through_reloads(work / "streams", 5 if quick else 30, 10)
        _say("streams broken", found["broken_streams"])
        found["requests_per_s"] = throughput(work / "wrk", 2 if quick else 20, 3)
        _say("requests per second through Nginx", found["requests_per_s"])
    if not quick:
        _write(found)


def push_to_confirmed(work: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds from the start of an apply until Nginx has confirmed it, per way in."""
    times: dict[str, dict[str, float]] = {}
    backends = [Server(f"127.0.0.1:{port}") for port in range(20001, 20009)]
    texts = [
        render([Upstream(POOL, [*backends[:-1], Server("127.0.0.1:20009", w)])]) for w in (50, 100)
    ]
    work.mkdir()
    with nginx(work / "local", pool=POOL, upstream_text=texts[0].text) as running:
        times["local"] = _apply_times(local_way(running), texts, repeats)
    with (
        nginx(work / "shared", pool=POOL, upstream_text=texts[0].text) as running,
        watcher(running),
    ):
        times["shared_volume"] = _apply_times(shared_way(running), texts, repeats)
    return times


def local_way(running: RunningNginx) -> LocalNginx:
    """The actuator for an Nginx on this host."""
    return LocalNginx(
        LocalSettings(
            directory=running.upstream_dir,
            endpoint=Endpoint.parse(running.generation_url),
            conf=running.conf,
            pid_file=running.pid_file,
        )
    )


def shared_way(running: RunningNginx) -> SharedVolumeNginx:
    """The actuator over a shared volume."""
    endpoint = Endpoint.parse(running.generation_url)
    return SharedVolumeNginx(SharedSettings(directory=running.shared_dir, endpoint=endpoint))


def _apply_times(way: Actuator, texts: list[Rendered], repeats: int) -> dict[str, float]:
    taken_ms = []
    for turn in range(1, repeats + 1):
        wanted = texts[turn % 2]
        started_s = time.perf_counter()
        way.apply(wanted.generation, wanted.text)
        taken_ms.append((time.perf_counter() - started_s) * 1000)
    return _summary(taken_ms)


@contextlib.contextmanager
def fleet(work: Path, size: int) -> Iterator[tuple[RunningPrometheus, RunningNginx]]:
    """A Prometheus that knows a fleet of this size, and an Nginx."""
    work.mkdir()
    port = free_port()
    argv = [sys.executable, "-m", "bench.fleet_exporter", str(port), str(size)]
    job = scrape_job("vllm", [f"127.0.0.1:{port}"], interval="5s", honor_labels=True)
    with (
        child(argv, work / "exporter.log", ready=lambda: accepts(port)),
        prometheus(work / "prometheus", [job]) as source,
        nginx(work / "nginx", pool=POOL) as front,
    ):
        count = "count(rate(vllm:generation_tokens_total[30s]))"
        await_true(lambda: (source.value(count) or 0) >= size, 90, f"{size} backends scraped")
        yield source, front


def config_text(
    source: RunningPrometheus, front: RunningNginx, size: int, listen: str, interval: str = "1s"
) -> str:
    """A configuration with one pool of the whole fleet."""
    backends = ", ".join(f'{{address: "{instance(index)}"}}' for index in range(size))
    return f"""
prometheus: {{url: "{source.url}", timeout: 60s}}
pools:
  - name: {POOL}
    selector: job="vllm"
    rate_window: 30s
    backends: [{backends}]
control: {{interval: {interval}}}
nginx:
  mode: local
  directory: {front.upstream_dir}
  config_file: {front.conf}
  pid_file: {front.pid_file}
  confirm_url: {front.generation_url}
telemetry: {{listen: "{listen}"}}
"""


def tick_cost(work: Path, size: int, repeats: int = 15) -> dict[str, float]:
    """CPU and wall time of a tick that changes nothing, and its HTTP requests."""
    with fleet(work, size) as (source, front):
        parts = build(parse(config_text(source, front, size, "127.0.0.1:9808"), "benchmark"))
        try:
            loop = Loop(parts.wiring, Memory())
            loop.tick()
            cpu_ms, wall_ms, made = [], [], parts.source.requests_made
            for _ in range(repeats):
                cpu_s, wall_s = time.process_time(), time.perf_counter()
                loop.tick()
                cpu_ms.append((time.process_time() - cpu_s) * 1000)
                wall_ms.append((time.perf_counter() - wall_s) * 1000)
            made = parts.source.requests_made - made
        finally:
            parts.close()
    return {
        "cpu_ms": round(statistics.median(cpu_ms), 2),
        "wall_ms": round(statistics.median(wall_ms), 1),
        "requests": made / repeats,
    }


def service_cost(work: Path, size: int, seconds: int) -> dict[str, Any]:
    """Resident memory and CPU of the running service with one tick per second."""
    listen = f"127.0.0.1:{free_port()}"
    with fleet(work, size) as (source, front):
        config = work / "config.yaml"
        config.write_text(config_text(source, front, size, listen))
        argv: list[str | Path] = [sys.executable, "-m", "controller", "run", "--config", config]
        port = int(listen.rpartition(":")[2])
        with child(argv, work / "controller.log", ready=lambda: accepts(port)) as service:
            status = Path(f"/proc/{service.pid}/status")
            deadline_s = time.monotonic() + seconds
            await_true(lambda: time.monotonic() > deadline_s, seconds + 1, "the time has passed")
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return {
        "rss_mb": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
        "rss_peak_mb": round(int(fields["VmHWM"].split()[0]) / 1024, 1),
        "rss_backends": size,
    }


def streams_through_reloads(work: Path, seconds: float, reloads: int) -> dict[str, Any]:
    """200 streams while Nginx is reloaded, beside the same streams without any reload."""
    work.mkdir()
    with stream_server(work) as upstream:
        backends = (upstream,)
        with nginx(work / "nginx", pool=POOL, upstream_text=seed_text(POOL, backends)) as front:
            quiet = asyncio.run(measure(f"{front.url}/v1/stream", 200, seconds))
            way = local_way(front)

            async def reloading() -> None:
                for turn in range(1, reloads + 1):
                    await asyncio.sleep(seconds / (reloads + 1))
                    wanted = render([Upstream(POOL, [Server(upstream, 100 - turn)])])
                    await asyncio.to_thread(way.apply, wanted.generation, wanted.text)

            async def both() -> tuple[StreamReport, None]:
                return await asyncio.gather(
                    measure(f"{front.url}/v1/stream", 200, seconds), reloading()
                )

            stormy, _ = asyncio.run(both())
    return {
        "broken_streams": stormy.broken,
        "streams": {
            "opened": stormy.streams,
            "reloads": reloads,
            "seconds": seconds,
            "worst_delay_ms": round(stormy.worst_delay_s * 1000, 1),
            "worst_delay_without_reloads_ms": round(quiet.worst_delay_s * 1000, 1),
        },
    }


def throughput(work: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """Requests per second of wrk against Nginx, in turns with and without the controller."""
    work.mkdir()
    with fleet(work / "fleet", 10) as (source, front):
        config = work / "config.yaml"
        listen = f"127.0.0.1:{free_port()}"
        # At the pace of production: a tick per second would measure ten controllers.
        config.write_text(config_text(source, front, 10, listen, interval="10s"))
        argv: list[str | Path] = [sys.executable, "-m", "controller", "run", "--config", config]
        ready_url = f"http://{listen}/readyz"
        rates: dict[str, list[float]] = {"without": [], "with": []}

        def with_controller() -> None:
            log = work / "controller.log"
            # Only what it costs while it runs: starting Python takes a core for half a second.
            with child(argv, log, ready=lambda: _answers(ready_url)):
                rates["with"].append(_wrk(front, seconds))

        for turn in range(rounds):
            if turn % 2:
                with_controller()
            rates["without"].append(_wrk(front, seconds))
            if not turn % 2:
                with_controller()
    return {
        "without_controller": round(statistics.median(rates["without"])),
        "with_controller": round(statistics.median(rates["with"])),
        # Of pairs taken one after the other, since the machine's own pace wanders.
        "ratio": round(
            statistics.median(a / b for a, b in zip(rates["with"], rates["without"], strict=True)),
            3,
        ),
        "spread_without": round(max(rates["without"]) / min(rates["without"]), 3),
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - an address made here
            return True
    except OSError:
        return False


def _wrk(front: RunningNginx, seconds: int) -> float:
    # /healthz is answered by Nginx alone, so that nothing but Nginx and wrk is measured.
    done = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", f"{front.url}/healthz"],
        check=True,
        capture_output=True,
        text=True,
    )
    line = next(line for line in done.stdout.splitlines() if "Requests/sec" in line)
    return float(line.split(":")[1])


def _summary(values_ms: list[float]) -> dict[str, float]:
    ordered = sorted(values_ms)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "max": round(ordered[-1], 1),
        "repeats": len(ordered),
    }


def _say(what: str, value: object) -> None:
    print(f"{what}: {json.dumps(value)}", flush=True)


def _write(found: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    head = provenance.head("make bench-control")
    (RESULTS / "control.json").write_text(json.dumps(head | found, indent=2) + "\n")
    (RESULTS / "control.md").write_text(_page(head, found))
    print(f"written: {RESULTS / 'control.json'} and control.md")


def _page(head: dict[str, str], found: dict[str, Any]) -> str:
    push, streams = found["push_to_confirmed_ms"], found["streams"]
    rates = found["requests_per_s"]
    rows = [
        *(
            (f"push to confirmed, {way}", f"median {t['median']} ms, 95 % within {t['p95']} ms")
            for way, t in push.items()
        ),
        *(
            (f"CPU per tick, {size:,} backends", f"{cpu_ms} ms")
            for size, cpu_ms in found["tick_cpu_ms"].items()
        ),
        ("HTTP requests per tick", f"{found['http_requests_per_tick']:g}"),
        (
            f"resident memory, {found['rss_backends']:,} backends",
            f"{found['rss_mb']} MB, at most {found['rss_peak_mb']} MB",
        ),
        (
            f"{streams['opened']} streams of {streams['seconds']:g} s,"
            f" {streams['reloads']} reloads",
            f"{found['broken_streams']} broken, worst delay of an event"
            f" {streams['worst_delay_ms']} ms"
            f" (without reloads {streams['worst_delay_without_reloads_ms']} ms)",
        ),
        (
            "requests per second through Nginx",
            f"{rates['with_controller']:,} with the controller,"
            f" {rates['without_controller']:,} without: {rates['ratio']} (the same without it"
            f" varies by {rates['spread_without']})",
        ),
    ]
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return (
        "# What the control loop costs\n\n"
        f"`{head['command']}` at commit {head['commit']} on {head['machine']}.\n\n"
        f"| what | measured |\n|---|---|\n{table}\n"
    )


if __name__ == "__main__":
    main()
