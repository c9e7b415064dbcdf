"""A real Prometheus with the scrape configuration it is given."""

import contextlib
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.processes import Child, answers, child, free_port

# prometheus_client answers an OpenMetrics scrape without colons in names; see docs/prometheus.md.
RESTORE_COLONS = {
    "source_labels": ["__name__"],
    "regex": "(vllm|sglang)_(.+)",
    "target_label": "__name__",
    "replacement": "$1:$2",
}


@dataclass(frozen=True, slots=True)
class Alerting:
    """Rules to evaluate, and the Alertmanagers, each host:port, that are told what fires."""

    rule_files: Sequence[Path] = ()
    alertmanagers: Sequence[str] = ()
    evaluation_interval: str = "1s"


NO_ALERTING = Alerting()


@dataclass(frozen=True, slots=True)
class RunningPrometheus:
    """A Prometheus that answers at `url`."""

    url: str
    process: Child
    config: Path
    alerting: Alerting

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The result of an instant query, as the HTTP API gives it."""
        parameters = urllib.parse.urlencode({"query": promql})
        with urllib.request.urlopen(  # noqa: S310 - an address this module made
            f"{self.url}/api/v1/query?{parameters}", timeout=10
        ) as answer:
            return list(json.load(answer)["data"]["result"])

    def value(self, promql: str) -> float | None:
        """The value of the first series of an instant query; None when there is none."""
        found = self.query(promql)
        return float(found[0]["value"][1]) if found else None

    def reload(self, scrape_configs: Sequence[dict[str, Any]], **global_config: str) -> None:
        """Scrape something else from now on."""
        write_config(self.config, scrape_configs, self.alerting, **global_config)
        request = urllib.request.Request(f"{self.url}/-/reload", method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            pass


def scrape_job(
    name: str, targets: Sequence[str], *, interval: str = "1s", **extra: object
) -> dict[str, Any]:
    """A scrape configuration for static targets; `extra` is taken over as it stands."""
    return {
        "job_name": name,
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "static_configs": [{"targets": list(targets)}],
        "metric_relabel_configs": [RESTORE_COLONS],
        **extra,
    }


def write_config(
    path: Path,
    scrape_configs: Sequence[dict[str, Any]],
    alerting: Alerting = NO_ALERTING,
    **global_config: str,
) -> None:
    """Write a prometheus.yml."""
    config: dict[str, Any] = {"global": global_config, "scrape_configs": list(scrape_configs)}
    if alerting.rule_files:
        config["global"] = {
            "evaluation_interval": alerting.evaluation_interval,
            **global_config,
        }
        config["rule_files"] = [str(file) for file in alerting.rule_files]
    if alerting.alertmanagers:
        targets = {"static_configs": [{"targets": list(alerting.alertmanagers)}]}
        config["alerting"] = {"alertmanagers": [targets]}
    path.write_text(yaml.safe_dump(config))


@contextlib.contextmanager
def prometheus(
    directory: Path,
    scrape_configs: Sequence[dict[str, Any]],
    *,
    port: int | None = None,
    alerting: Alerting = NO_ALERTING,
    retention: str = "2h",
    flags: Sequence[str] = (),
) -> Iterator[RunningPrometheus]:
    """Run Prometheus with its data in `directory` until the context ends.

    Args:
        directory: Gets its files; blocks that are in `data` already are served.
        scrape_configs: What it scrapes.
        port: Where it listens; any free port unless given.
        alerting: The rules it evaluates, and whom it tells.
        retention: How much older than the newest data something may be.
        flags: More for the command line.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    config = directory / "prometheus.yml"
    write_config(config, scrape_configs, alerting)
    argv = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
        "--log.level=warn",
        *flags,
    ]

    log = directory / "prometheus.log"
    with child(argv, log, ready=lambda: answers(f"{url}/-/ready")) as process:
        yield RunningPrometheus(url, process, config, alerting)
