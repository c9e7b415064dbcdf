"""A real Prometheus that scrapes real captures, old engines, broken targets and growing counters.

Each target has an instance label of its own, `<what>:8000`, and a job by what it is for.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

from lab.processes import await_true, free_port
from lab.prometheus import RunningPrometheus, prometheus, scrape_job
from tests.integration.prometheus_faults import Asked, Told, serving
from tests.integration.prometheus_pages import CAPTURES, PAGES

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
_SAMPLES_FOR_RATES = 5


def capture_values(stem: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples of a capture: by name and labels, the value."""
    text = (CAPTURES / f"{stem}.prom").read_text()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of_name(stem: str, name: str, **labels: str) -> list[float]:
    """The values of a capture's series with a name and labels."""
    return [
        value
        for (found, its), value in capture_values(stem).items()
        if found == name and labels.items() <= dict(its).items()
    ]


def _colonless() -> tuple[bytes, str]:
    """What the engines' own library answers a scraper that prefers OpenMetrics."""
    registry = CollectorRegistry()
    running = Gauge("vllm:num_requests_running", "Running.", ["model_name"], registry=registry)
    running.labels("tiny").set(2)
    encode, content_type = choose_encoder("application/openmetrics-text; version=1.0.0")
    return encode(registry), content_type


def _static(target: str, job: str, page: str) -> dict[str, Any]:
    labels = {"instance": f"{page}:8000", "__metrics_path__": f"/{job}/{page}"}
    return {"targets": [target], "labels": labels}


@contextlib.contextmanager
def scraped_targets(directory: Path) -> Iterator[RunningPrometheus]:
    """Run Prometheus until the context ends, after it has enough samples for rates."""
    started_s = time.monotonic()

    def answer(asked: Asked) -> Told:
        job, _, page = asked.path.strip("/").partition("/")
        if job == "colonless":
            body, content_type = _colonless()
            return Told(200, body.decode(), content_type)
        return Told(200, PAGES[job][page](time.monotonic() - started_s), PLAIN)

    with serving(answer) as server:
        target = server.url.removeprefix("http://")
        jobs = [
            scrape_job(job, [], static_configs=[_static(target, job, page) for page in pages])
            for job, pages in PAGES.items()
        ]
        lost = [_static(target, "colonless", "colonless")]
        jobs.append(scrape_job("colonless", [], static_configs=lost, metric_relabel_configs=[]))
        jobs.append(scrape_job("down", [f"127.0.0.1:{free_port()}"]))
        with prometheus(directory, jobs) as running:
            expected = sum(len(pages) for pages in PAGES.values()) + 2
            await_true(
                lambda: (
                    running.value(f"count(count_over_time(up[1m]) >= {_SAMPLES_FOR_RATES})")
                    == expected
                ),
                timeout_s=60,
                what="enough scrapes of every target for rates",
            )
            yield running


def about(value: float) -> tuple[float, float]:
    """Bounds for a rate measured over a few one-second scrapes on a busy machine."""
    assert math.isfinite(value)
    return (0.7 * value, 1.3 * value)
