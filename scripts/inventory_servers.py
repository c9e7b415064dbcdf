"""What Prometheus, Alertmanager, the exporter of Nginx and mtail publish, from real ones."""

import contextlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from lab.nginx import nginx
from lab.processes import await_true, child, free_port
from lab.prometheus import write_config
from scripts.check_docs import ROOT
from scripts.inventory import published, text

# Go's and the process's own metrics are in every page, and say nothing of the server.
_PREFIXES = {
    "prometheus": "prometheus_",
    "alertmanager": "alertmanager_",
    "nginx_exporter": "nginx",
    "nginx_log": "nginx_lb_",
}
_RECORDINGS = ROOT / "rules" / "recording.yml"
_MTAIL = ROOT / "deploy" / "mtail" / "nginx_lb.mtail"


def write(directory: Path) -> None:
    """Write the files of the inventory that are taken from servers."""
    for source, page in pages().items():
        metrics = {
            name: entry
            for name, entry in published([page]).items()
            if name.startswith(_PREFIXES[source])
        }
        content = text(metrics, f"what {source} answers", " --servers")
        (directory / f"{source}.yml").write_text(content)


def pages() -> dict[str, str]:
    """What each server answers to a scrape, by source."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        alertmanager = stack.enter_context(_alertmanager(directory / "alertmanager"))
        prometheus = stack.enter_context(_prometheus(directory / "prometheus", alertmanager))
        web = stack.enter_context(nginx(directory / "nginx"))
        exporter = stack.enter_context(_exporter(directory, web.status_url))
        log = stack.enter_context(_mtail(directory / "mtail"))
        urls = {
            "prometheus": prometheus,
            "alertmanager": alertmanager,
            "nginx_exporter": exporter,
            "nginx_log": log,
        }
        return {source: _page(url) for source, url in urls.items()}


@contextlib.contextmanager
def _alertmanager(directory: Path) -> Iterator[str]:
    directory.mkdir()
    config = directory / "alertmanager.yml"
    config.write_text(
        yaml.safe_dump({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})
    )
    port = free_port()
    argv = [
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={directory}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _server(argv, directory / "log", port, "alertmanager_build_info") as url:
        yield url


@contextlib.contextmanager
def _prometheus(directory: Path, alertmanager: str) -> Iterator[str]:
    """With a rule group and an Alertmanager, since some metrics are per group or Alertmanager."""
    directory.mkdir()
    config = directory / "prometheus.yml"
    port = free_port()
    target = f"127.0.0.1:{port}"
    write_config(config, [{"job_name": "prometheus", "static_configs": [{"targets": [target]}]}])
    settings = yaml.safe_load(config.read_text())
    settings["rule_files"] = [str(_RECORDINGS)]
    peer = alertmanager.removeprefix("http://").removesuffix("/metrics")
    settings["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [peer]}]}]}
    config.write_text(yaml.safe_dump(settings))
    argv = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={target}",
    ]
    with _server(argv, directory / "log", port, "prometheus_notifications_sent_total{") as url:
        yield url


@contextlib.contextmanager
def _exporter(directory: Path, status_url: str) -> Iterator[str]:
    port = free_port()
    argv = [
        "prometheus-nginx-exporter",
        f"-nginx.scrape-uri={status_url}/stub_status",
        f"-web.listen-address=127.0.0.1:{port}",
    ]
    with _server(argv, directory / "exporter.log", port, "nginx_up 1") as url:
        yield url


@contextlib.contextmanager
def _mtail(directory: Path) -> Iterator[str]:
    directory.mkdir()
    access_log = directory / "access.log"
    access_log.touch()
    port = free_port()
    argv = [
        "mtail",
        f"--progs={_MTAIL}",
        f"--logs={access_log}",
        "--address=127.0.0.1",
        f"--port={port}",
        f"--log_dir={directory}",
    ]
    with _server(argv, directory / "log", port, "nginx_lb_") as url:
        # What is in the log when it starts is old to mtail.
        with access_log.open("a") as log:
            log.write(_LINE)
        await_true(lambda: "nginx_lb_upstream_header" in _page(url), 10, "the line to be counted")
        yield url


# A request that one backend refused and another answered.
_LINE = (
    '{"time":"2026-01-01T00:00:00+00:00","msec":1.0,"request_id":"a","client":"127.0.0.1",'
    '"method":"POST","uri":"/v1/completions","protocol":"HTTP/1.1","status":200,'
    '"request_bytes":1,"bytes":1,"request_time":0.100,"completion":"OK","pool":"llm",'
    '"upstream_addr":"10.0.0.1:8000, 10.0.0.2:8000","upstream_status":"502, 200",'
    '"upstream_connect_time":"-, 0.001","upstream_header_time":"-, 0.050",'
    '"upstream_response_time":"0.001, 0.099","upstream_bytes":"0, 1","shed":false,'
    '"generation":"0","user_agent":"-"}\n'
)


@contextlib.contextmanager
def _server(argv: list[str], log: Path, port: int, sign: str) -> Iterator[str]:
    """Run a server until the context ends; ready once its metrics show the sign."""
    url = f"http://127.0.0.1:{port}/metrics"
    with child(argv, log, ready=_shows(url, sign)):
        yield url


def _shows(url: str, sign: str) -> Callable[[], bool]:
    def shows() -> bool:
        try:
            return sign in _page(url)
        except (urllib.error.URLError, OSError):
            return False

    return shows


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - an address made here
        return str(answer.read().decode())
