"""The command as people run it: a process, its HTTP interface, its exit codes, its end."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from lab.nginx import nginx
from lab.processes import Child, accepts, await_true, child, free_port
from tests.integration.plant import HEALTHY, Plant, plant

pytestmark = pytest.mark.integration

COMMAND = Path(sys.executable).with_name("vllm-nginx-lb")
A, B = "127.0.0.1:20011", "127.0.0.1:20012"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One plant for all tests of this module."""
    with plant(tmp_path_factory.mktemp("plant"), A, B) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Service:
    """A running controller."""

    process: Child
    url: str
    config: Path
    state: Path

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self) -> dict[str, Any]:
        """The status as JSON values."""
        return dict(json.loads(self.get("/api/v1/status")[1]))

    def metric(self, name: str) -> float | None:
        """The value of the first series whose text starts with `name`."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name):
                return float(line.rpartition(" ")[2])
        return None

    def events(self) -> list[dict[str, Any]]:
        """The log so far: one JSON object per line."""
        return [json.loads(line) for line in self.process.log.read_text().splitlines()]


def write_config(site: Plant, directory: Path, **text: str) -> tuple[Path, int]:
    """A configuration file in the directory, and the port it listens on."""
    port = free_port()
    config = directory / "config.yaml"
    config.write_text(
        site.config_text(**text)
        + f'telemetry: {{listen: "127.0.0.1:{port}"}}\n'
        + f"state: {{file: {directory / 'state.json'}}}\n"
    )
    return config, port


@contextmanager
def service(site: Plant, directory: Path, **text: str) -> Iterator[Service]:
    """Run the controller until the context ends; ready when its first tick has ended."""
    config, port = write_config(site, directory, **text)
    argv: list[str | Path] = [COMMAND, "run", "--config", config]
    log = directory / "controller.log"
    log.unlink(missing_ok=True)
    with child(argv, log, ready=lambda: accepts(port)) as process:
        running = Service(process, f"http://127.0.0.1:{port}", config, directory / "state.json")
        process.await_ready(lambda: running.get("/api/v1/status")[0] == 200)
        yield running


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [str(COMMAND), *(str(each) for each in arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_service_is_ready_once_confirmed(site: Plant, tmp_path: Path) -> None:
    """Ready means that Nginx serves a confirmed generation, and the status says which."""
    with service(site, tmp_path) as running:
        assert running.get("/healthz") == (200, "ok\n")
        assert running.get("/readyz") == (200, "ok\n")
        status = running.status()
        assert status["generation"]["applied"] == site.nginx.generation()
        assert {each["address"] for each in status["pools"][0]["backends"]} == {A, B}
        assert all(each["reason"] for each in status["pools"][0]["backends"])


def test_an_upstream_without_backends_is_not_ready(site: Plant, tmp_path: Path) -> None:
    """Blind from the start, beside an Nginx that answers 502 to all, it says what it waits for."""
    pools = """
  - {name: llm, selector: job="vllm", discovery: {}}
"""
    nobody = f"http://127.0.0.1:{free_port()}"
    with nginx(tmp_path / "nginx", pool="llm") as empty:
        begun = replace(site, nginx=empty)
        with service(begun, tmp_path, url=nobody, pools=pools) as running:
            told = "no pool has a backend yet: each request is a 502\n"
            assert running.get("/readyz") == (503, told)
            assert running.get("/healthz")[0] == 200


def test_the_version_is_that_of_the_package() -> None:
    """`--version` says which one is installed."""
    assert command("--version").stdout == metadata.version("vllm-nginx-lb") + "\n"


def test_metrics_are_clean(site: Plant, tmp_path: Path) -> None:
    """Prometheus' own linter finds nothing wrong with the controller's metrics."""
    with service(site, tmp_path) as running:
        code, text = running.get("/metrics")
    assert code == 200
    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (lint.returncode, lint.stdout + lint.stderr) == (0, "")


def test_unknown_pages_are_refused(site: Plant, tmp_path: Path) -> None:
    """A page or backend that does not exist gets 404 and a sentence."""
    with service(site, tmp_path) as running:
        code, body = running.get("/api/v1/backends/10.0.0.1:1")
        assert (code, json.loads(body)) == (404, {"error": "no backend 10.0.0.1:1"})
        assert running.get("/nothing")[0] == 404


def test_every_log_line_is_json(site: Plant, tmp_path: Path) -> None:
    """Off a terminal each line is one JSON event, and a tick is one event with its reasons."""
    with service(site, tmp_path) as running:
        await_true(lambda: len(running.events()) >= 4, 20, "a few ticks")
        ticks = [event for event in running.events() if event["event"] == "tick"]
    assert ticks
    assert {"result", "reason", "generation", "served", "pools"} <= ticks[0].keys()
    assert ticks[0]["pools"]["llm"]["backends"][A]["reason"]


def test_sigterm_ends_it_cleanly(site: Plant, tmp_path: Path) -> None:
    """Told to stop, it saves its memory, frees its port and exits with 0."""
    with service(site, tmp_path) as running:
        running.process.signal(signal.SIGTERM)
        assert running.process.process.wait(10) == 0
        assert json.loads(running.state.read_text())["memory"]["applied"]["generation"]
        assert running.events()[-1]["event"] == "stopped"
        assert not accepts(int(running.url.rpartition(":")[2]))


def test_killed_controller_comes_back_without_a_reload(site: Plant, tmp_path: Path) -> None:
    """After SIGKILL a new controller goes on with what Nginx serves."""
    with service(site, tmp_path) as running:
        assert running.get("/readyz")[0] == 200
        running.process.signal(signal.SIGKILL)
        running.process.process.wait(10)
    before = site.nginx.generation()
    with service(site, tmp_path) as running:
        assert running.metric('vllm_nginx_lb_reloads_total{result="confirmed"}') == 0
        assert running.get("/readyz") == (200, "ok\n")
    assert site.nginx.generation() == before


def test_unusable_memory_is_set_aside(site: Plant, tmp_path: Path) -> None:
    """A state file that cannot be read is told, and set aside before it is written anew."""
    (tmp_path / "state.json").write_text('{"memory": {"pools": 7}}')
    config, _ = write_config(site, tmp_path)
    assert command("once", "--dry-run", "--config", config).returncode == 0
    assert not (tmp_path / "state.json.unusable").exists()
    with service(site, tmp_path) as running:
        assert "starting without memory" in [event["event"] for event in running.events()]
        assert running.get("/readyz")[0] == 200
    assert (tmp_path / "state.json.unusable").read_text() == '{"memory": {"pools": 7}}'


def test_departed_backend_leaves_the_metrics(site: Plant, tmp_path: Path) -> None:
    """A backend that left Prometheus leaves the pool, and no series of it stays."""
    discovery = """
  - name: llm
    selector: job="vllm"
    rate_window: 5s
    policy: {name: ladder}
    discovery: {}
"""
    control = ", forget_after: 1s, fast_interval: 1s, min_interval: 1s"
    with service(site, tmp_path, pools=discovery, control=control) as running:
        name = "vllm_nginx_lb_backend_weight_applied{"
        await_true(
            lambda: running.get("/metrics")[1].count(name) == 2, 20, "both backends discovered"
        )
        old = json.loads(json.dumps(_scrape_configs(site)))
        try:
            kept = [dict(each) for each in old]
            kept[0]["static_configs"] = [
                group for group in kept[0]["static_configs"] if group["labels"]["instance"] == A
            ]
            site.prometheus.reload(kept)
            await_true(lambda: f'backend="{B}"' not in running.get("/metrics")[1], 20, "B has left")
            assert B not in site.nginx.upstream_file.read_text()
        finally:
            site.prometheus.reload(old)
            site.settle()


def _scrape_configs(site: Plant) -> list[dict[str, Any]]:
    import yaml  # noqa: PLC0415 - only this test reads what the plant wrote

    return list(yaml.safe_load(site.prometheus.config.read_text())["scrape_configs"])


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "Address already in use"),
        # Of a block for documentation, and a name that is never one: as before the network is up.
        ("192.0.2.1", "Cannot assign requested address"),
        ("lb.invalid", "Name or service not known"),
    ],
)
def test_what_cannot_be_listened_on_now_is_an_event(
    site: Plant, tmp_path: Path, host: str, why: str
) -> None:
    """It is no fault of the configuration, so that services try again; it is told as JSON."""
    config, port = write_config(site, tmp_path)
    config.write_text(config.read_text().replace('listen: "127.0.0.1', f'listen: "{host}'))
    with socket.create_server(("127.0.0.1", port)):
        done = command("run", "--config", config)
    assert done.returncode == 1
    *_, last = map(json.loads, done.stderr.splitlines())
    assert (last["event"], last["level"]) == ("not started", "error")
    assert last["error"].startswith(f"telemetry.listen: {host}:{port}: ")
    # Without any name server, the resolver says that it may work later.
    assert last["error"].endswith((why, "Temporary failure in name resolution"))


def test_one_controller_per_directory(site: Plant, tmp_path: Path) -> None:
    """A second controller on the same directory is refused and told who holds it."""
    with service(site, tmp_path) as running:
        other = tmp_path / "other"
        other.mkdir()
        config, _ = write_config(site, other)
        for subcommand in ("run", "once"):
            done = command(subcommand, "--config", config)
            assert done.returncode == 4
            assert f"pid {running.process.pid}" in done.stderr
            if subcommand == "run":
                assert json.loads(done.stderr.splitlines()[-1])["event"] == "not started"
        assert command("once", "--dry-run", "--config", config).returncode == 0


def test_hangup_does_not_end_it(site: Plant, tmp_path: Path) -> None:
    """A signal that other servers take for `reload` is answered in the log and changes nothing."""
    with service(site, tmp_path) as running:
        running.process.signal(signal.SIGHUP)
        await_true(
            lambda: any(event["event"] == "hangup ignored" for event in running.events()),
            10,
            "the hangup is told",
        )
        assert running.get("/healthz")[0] == 200


def test_state_that_cannot_be_kept_is_told(site: Plant, tmp_path: Path) -> None:
    """A missing state directory costs nothing but the memory: the tick is still reported."""
    config, _ = write_config(site, tmp_path)
    config.write_text(config.read_text().replace("state.json", "missing/state.json"))
    done = command("once", "--config", config)
    assert done.returncode == 2
    assert A in done.stdout
    assert "state.file" in done.stderr


def test_once_reports_and_exits_clean(site: Plant, tmp_path: Path) -> None:
    """One tick by hand prints every backend with its reason."""
    config, _ = write_config(site, tmp_path)
    done = command("once", "--config", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert A in done.stdout
    assert "KV 0.10: 100" in done.stdout


def test_dry_run_touches_nothing(site: Plant, tmp_path: Path) -> None:
    """A dry run shows the weights it would set and leaves file, Nginx and memory alone."""
    site.nginx.upstream_file.write_text(site.nginx.upstream_file.read_text())
    site.pages[A].gauges["vllm:kv_cache_usage_perc"] = 0.95
    site.await_query("max(vllm:kv_cache_usage_perc)", 0.95)
    try:
        config, _ = write_config(site, tmp_path)
        before = site.nginx.upstream_file.read_text()
        done = command("once", "--dry-run", "--json", "--config", config)
    finally:
        site.pages[A].gauges = dict(HEALTHY)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["result"] == "dry_run"
    assert [each["weight_desired"] for each in found["pools"][0]["backends"]] == [10, 100]
    assert site.nginx.upstream_file.read_text() == before
    assert not (tmp_path / "state.json").exists()


def test_exit_codes_tell_who_is_to_blame(site: Plant, tmp_path: Path) -> None:
    """2 is the configuration, 3 Prometheus, 4 Nginx, 5 the controller."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("pools: 7\n")
    for subcommand in ("run", "once", "check", "init"):
        done = command(subcommand, "--config", wrong)
        assert done.returncode == 2
        assert "wrong.yaml:1: pools: expected a list" in done.stderr
        assert "prometheus: is missing" in done.stderr
    gone, _ = write_config(site, tmp_path, url=f"http://127.0.0.1:{free_port()}")
    assert command("once", "--config", gone).returncode == 3
    assert command("check", "--config", gone).returncode == 3
    good, _ = write_config(site, tmp_path)
    text = good.read_text().replace(site.nginx.generation_url, f"http://127.0.0.1:{free_port()}/x")
    good.write_text(text)
    assert command("once", "--config", good).returncode == 4
    assert command("check", "--config", good).returncode == 4
    silent = f"http://127.0.0.1:{free_port()}"
    for arguments in (("status",), ("explain", A)):
        done = command(*arguments, "--url", silent)
        assert done.returncode == 5
        assert "does not answer" in done.stderr


def test_check_says_what_each_pool_sees(site: Plant, tmp_path: Path) -> None:
    """A check of a good set-up ends with 0 and shows the backends it would weigh."""
    config, _ = write_config(site, tmp_path)
    done = command("check", "--config", config)
    assert done.returncode == 0, done.stdout
    assert "Prometheus answers" in done.stdout
    assert A in done.stdout
    found = json.loads(command("check", "--json", "--config", config).stdout)
    assert {"findings", "would"} == found.keys()


def test_status_and_explain_answer_for_people(site: Plant, tmp_path: Path) -> None:
    """The running controller tells its state as tables, and as JSON for programs."""
    with service(site, tmp_path) as running:
        table = command("status", "--url", running.url)
        assert table.returncode == 0
        assert A in table.stdout
        why = command("explain", A, "--url", running.url)
        assert "because policy: KV 0.10: 100" in why.stdout
        assert "kv_usage" in why.stdout
        told = json.loads(command("explain", A, "--json", "--url", running.url).stdout)
        assert told[0]["signals"]["kv_usage"] == 0.1
        unknown = command("explain", "10.9.9.9:1", "--url", running.url)
        assert (unknown.returncode, "no backend 10.9.9.9:1" in unknown.stderr) == (1, True)


def test_init_writes_what_nginx_accepts(site: Plant, tmp_path: Path) -> None:
    """The first upstream file holds the configured backends; a second call leaves it alone."""
    config, _ = write_config(site, tmp_path)
    fresh = tmp_path / "upstreams"
    config.write_text(config.read_text().replace(str(site.nginx.upstream_dir), str(fresh)))
    assert command("init", "--config", config).returncode == 0
    text = (fresh / "upstream.conf").read_text()
    assert text.count("server 127.0.0.1:2001") == 2
    wrapper = tmp_path / "nginx.conf"
    wrapper.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; include {fresh}/upstream.conf; }}\n"
    )
    tested = subprocess.run(
        ["nginx", "-t", "-c", wrapper], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stderr
    again = command("init", "--config", config)
    assert (again.returncode, "exists already" in again.stdout) == (0, True)
