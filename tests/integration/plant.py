"""A plant for the whole loop: real Prometheus and Nginx, backends whose metrics a test sets."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from controller.app.load import parse
from controller.app.loop import Loop
from controller.app.wiring import Parts, build
from controller.core.memory import Memory
from lab.nginx import RunningNginx, nginx
from lab.processes import await_true
from lab.prometheus import RunningPrometheus, prometheus, scrape_job
from tests.integration.prometheus_faults import Asked, Told, serving

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
HEALTHY = {
    "vllm:num_requests_running": 1.0,
    "vllm:num_requests_waiting": 0.0,
    "vllm:kv_cache_usage_perc": 0.1,
    "vllm:num_preemptions_total": 0.0,
}


@dataclass(slots=True)
class Page:
    """What one backend answers to a scrape; None to answer with an error."""

    gauges: dict[str, float] = field(default_factory=lambda: dict(HEALTHY))
    status: int = 200
    text: str | None = None
    scrapes: int = 0
    frozen: bool = False

    def answer(self) -> Told:
        """The next scrape; engine counters grow unless frozen."""
        if not self.frozen:
            self.scrapes += 1
        if self.text is not None:
            return Told(self.status, self.text, PLAIN)
        label = '{engine="0",model_name="m"}'
        lines = [f"{name}{label} {value}" for name, value in self.gauges.items()]
        lines += [
            f"vllm:generation_tokens_total{label} {self.scrapes * 100}",
            f"vllm:prompt_tokens_total{label} {self.scrapes * 50}",
            f"vllm:iteration_tokens_total_count{label} {self.scrapes * 10}",
        ]
        return Told(self.status, "\n".join(lines) + "\n", PLAIN)


@dataclass(slots=True)
class Clock:
    """Time as the loop sees it: a test moves it on, so that no test waits a minute."""

    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        """The time now, Unix seconds."""
        return self.now_s

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


@dataclass(slots=True)
class Plant:
    """Prometheus, Nginx and the pages of the backends, by instance."""

    directory: Path
    prometheus: RunningPrometheus
    nginx: RunningNginx
    pages: Mapping[str, Page]

    def config_text(
        self,
        *,
        url: str | None = None,
        control: str = "",
        pools: str | None = None,
        way: str | None = None,
    ) -> str:
        """A configuration for the plant; by default one ladder pool and the local way."""
        backends = ", ".join(f'{{address: "{each}"}}' for each in self.pages)
        pool = f"""
  - name: llm
    selector: job="vllm"
    rate_window: 5s
    backends: [{backends}]
    policy: {{name: ladder}}
"""
        return f"""
prometheus: {{url: "{url or self.prometheus.url}", timeout: 2s}}
pools: {pools or pool}
control: {{interval: 1s, max_sample_age: 20s {control}}}
nginx: {way or self.local_way()}
"""

    def local_way(self) -> str:
        """The configuration for an Nginx on the same host."""
        return f"""
  mode: local
  directory: {self.nginx.upstream_dir}
  config_file: {self.nginx.conf}
  pid_file: {self.nginx.pid_file}
  confirm_url: {self.nginx.generation_url}
"""

    def shared_way(self) -> str:
        """The configuration for an Nginx behind a shared volume, with the watcher beside it."""
        return f"""
  mode: shared_volume
  directory: {self.nginx.shared_dir}
  confirm_url: {self.nginx.generation_url}
  heartbeat_timeout: 3s
"""

    def settle(self) -> None:
        """Wait until Prometheus has scraped every page after the last change, twice."""
        marks = {name: page.scrapes + 2 for name, page in self.pages.items() if not page.frozen}
        await_true(
            lambda: all(self.pages[name].scrapes >= mark for name, mark in marks.items()),
            timeout_s=20,
            what="every page scraped twice more",
        )
        count = 'count(last_over_time(up{job="vllm"}[5s]))'
        await_true(
            lambda: self.prometheus.value(count) == len(self.pages),
            timeout_s=20,
            what="Prometheus knows every backend",
        )

    def await_query(self, promql: str, value: float) -> None:
        """Wait until Prometheus answers this value."""
        await_true(
            lambda: self.prometheus.value(promql) == value,
            timeout_s=30,
            what=f"{promql} is {value}",
        )


@contextlib.contextmanager
def plant(directory: Path, *backends: str) -> Iterator[Plant]:
    """Run Prometheus and Nginx; the backends exist in Prometheus alone."""
    pages = {backend: Page() for backend in backends}

    def answer(asked: Asked) -> Told:
        return pages[asked.path.strip("/")].answer()

    with serving(answer) as server:
        target = server.url.removeprefix("http://")
        groups = [
            {"targets": [target], "labels": {"instance": each, "__metrics_path__": f"/{each}"}}
            for each in backends
        ]
        job = scrape_job("vllm", [], static_configs=groups)
        with (
            prometheus(directory / "prometheus", [job]) as source,
            nginx(directory / "nginx", pool="llm") as front,
        ):
            built = Plant(directory, source, front, pages)
            built.settle()
            yield built


@contextlib.contextmanager
def loop(config_text: str, clock: Clock, memory: Memory | None = None) -> Iterator[Loop]:
    """A loop in this process, over the real adapters, with a clock of the test's."""
    parts: Parts = build(parse(config_text, "test"))
    try:
        yield Loop(replace(parts.wiring, clock=clock), memory or Memory())
    finally:
        parts.close()
