"""The watcher lets nothing through but what the controller writes, and the hook starts Nginx."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.nginx import Endpoint, SharedSettings, SharedVolumeNginx
from controller.core.errors import ActuationError, ActuationFault
from controller.core.model import Server
from controller.core.render import (
    Rendered,
    Upstream,
    UpstreamOptions,
    WhenFull,
    parse,
    render,
)
from lab.nginx import DEPLOY, RunningNginx, nginx, render_conf, watcher
from lab.processes import Child, await_true, child, free_port
from tests.integration.nginx.cases import file_of, file_with, shared_settings

pytestmark = pytest.mark.integration

BODY = file_of(3).text.partition("}\n\n")[2]
TWO = [Server("127.0.0.1:9", max_conns=4), Server("127.0.0.2:9", max_conns=4)]
SPILLING = render([Upstream("llm", TWO)]).text.partition("}\n\n")[2]
BACKUP = "    server 127.0.0.2:9 weight=100 max_fails=2 fail_timeout=30s backup;\n"
ITS_SERVER = "    server 127.0.0.2:9 weight=100 max_conns=4 max_fails=2 fail_timeout=30s;\n"
INJECTIONS = {
    "a server block": BODY + "server { listen 8088; }\n",
    "a directive after a brace": BODY.replace("}\n", "} access_log /etc/passwd;\n"),
    "another directive in an upstream": BODY.replace("least_conn;", "least_conn; hash $uri;"),
    "an include": "include /etc/passwd;\n" + BODY,
    "a variable as address": BODY.replace("127.0.0.1:9 ", "$host:9 "),
    "a unix socket": BODY.replace("127.0.0.1:9 ", "unix:/run/docker.sock "),
    "a long line": BODY.replace("127.0.0.1:9 ", f"{'a' * 400}:9 "),
    "a NUL byte": BODY.replace("least_conn;", "least_conn;\0 hash $uri;"),
    "a carriage return": BODY.replace("least_conn;", "least_conn;\r"),
    "no ASCII": BODY.replace("127.0.0.1:9 ", "bäckend:9 "),
    "a comment": BODY + "# of my own\n",
    "half a line": BODY + "}",
    "a backup with a limit": SPILLING.replace(
        BACKUP, BACKUP.replace(" max_fails", " max_conns=4 max_fails")
    ),
    "a backup that is down": SPILLING.replace(" backup;\n", " backup down;\n"),
    "a backup of nobody": SPILLING.replace(BACKUP, BACKUP.replace("127.0.0.2", "127.0.0.3")),
    "a backup of another weight": SPILLING.replace(BACKUP, BACKUP.replace("=100", "=99")),
    "two backups of one server": SPILLING.replace(BACKUP, 2 * BACKUP),
    "a backup before its server": SPILLING.replace(ITS_SERVER, "").replace(
        BACKUP, BACKUP + ITS_SERVER
    ),
    "a backup of a server that is down": SPILLING.replace(
        ITS_SERVER, ITS_SERVER.replace(";", " down;")
    ),
    "a backup of a server of another pool": SPILLING.replace(
        BACKUP, f"}}\nupstream other {{\n{BACKUP}"
    ),
    "too much": BODY.replace("    least_conn;\n", "    least_conn;\n" * 500_000),
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningNginx, Child]]:
    """An Nginx with a watcher that has to bear all the bad requests of this module."""
    with nginx(tmp_path_factory.mktemp("watched")) as running, watcher(running) as watching:
        yield running, watching


def submit(running: RunningNginx, wanted: Rendered) -> None:
    """Hand the watcher a file that the controller itself would not have written."""
    actuator = SharedVolumeNginx(shared_settings(running))
    actuator._submit(wanted.generation, wanted.text)


@pytest.mark.parametrize("kind", INJECTIONS)
def test_line_that_the_controller_does_not_write(
    watched: tuple[RunningNginx, Child], kind: str
) -> None:
    """Whatever is not in the grammar of the upstream file is refused before Nginx sees it."""
    running, watching = watched
    before = running.upstream_file.read_text()
    with pytest.raises(ActuationError, match="refused before Nginx saw it") as error:
        submit(running, file_with(INJECTIONS[kind]))
    assert error.value.fault is ActuationFault.REJECTED
    assert running.upstream_file.read_text() == before
    assert watching.is_running()


def test_generation_of_the_request_is_that_of_the_text(
    watched: tuple[RunningNginx, Child],
) -> None:
    """A request that announces one generation and holds another is refused."""
    running, _ = watched
    with pytest.raises(ActuationError, match="not of generation 0123456789abcdef"):
        submit(running, Rendered("0123456789abcdef", file_of(3).text))


def test_link_is_not_followed(watched: tuple[RunningNginx, Child]) -> None:
    """A request that is a link or a device is not read: it would be with the watcher's rights."""
    running, watching = watched
    request = running.shared_dir / "req" / "request.conf"
    request.unlink(missing_ok=True)
    target = running.directory / "elsewhere"
    target.write_text(f"# request 00ff {file_of(3).generation}\n{file_of(3).text}")
    request.symlink_to(target)
    status = running.shared_dir / "ack" / "status"
    beat_s = status.stat().st_mtime
    await_true(lambda: status.stat().st_mtime > beat_s + 0.5, 20, "it has looked around")
    assert "00ff" not in watching.log.read_text()
    request.unlink()
    os.mkfifo(request)
    beat_s = status.stat().st_mtime
    await_true(lambda: status.stat().st_mtime > beat_s + 0.5, 20, "it has looked around")
    request.unlink()


def test_everything_that_the_renderer_writes_passes(
    watched: tuple[RunningNginx, Child],
) -> None:
    """The grammar of the watcher knows every form of line that the renderer has."""
    running, _ = watched
    servers = [
        Server("10.0.0.1:8000", weight=1, max_conns=1),
        Server("10.0.0.2:65535", weight=100, down=True, max_conns=512),
        Server("[2001:db8::1]:8000", weight=30),
        Server("gpu-1.example_net.internal:8000", weight=60, down=True),
        Server("a" * 63 + ".example:8000"),
    ]
    names = {server.address: "127.0.0.1:8000" for server in servers if "example" in server.address}
    names["gpu-1.example_net.internal:8000"] = "[::1]:8000"
    options = UpstreamOptions(max_fails=0, fail_timeout_s=10000, keepalive=1024, zone_kib=4096)
    pools = [Upstream("llm", servers, options), Upstream("Qwen-2.5_b", [])]
    for when_full in WhenFull:
        other = Upstream("other", servers, replace(options, when_full=when_full))
        wanted = render([*pools, other], names)
        submit(running, wanted)
        assert running.upstream_file.read_text() == wanted.text


def test_ten_thousand_servers(watched: tuple[RunningNginx, Child]) -> None:
    """The largest pool in the promise of the project fits through the watcher, backups and all."""
    running, _ = watched
    addresses = [f"10.{n // 62500}.{n // 250 % 250}.{n % 250}:8000" for n in range(10_000)]
    wanted = render([Upstream("llm", [Server(address, max_conns=256) for address in addresses])])
    SharedVolumeNginx(shared_settings(running)).apply(wanted.generation, wanted.text)
    assert running.generation() == wanted.generation


def test_second_watcher_refuses(watched: tuple[RunningNginx, Child]) -> None:
    """Two watchers of one directory would swap each other's files: the second ends with code 3."""
    running, watching = watched
    settings = {"LB_SHARED_DIR": str(running.shared_dir), "LB_PID": str(running.pid_file)}
    done = subprocess.run(
        ["sh", DEPLOY / "watcher.sh"],
        env={**os.environ, **settings},
        check=False,
        timeout=10,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert f"another watcher (pid {watching.pid}) serves" in done.stderr


def test_lock_of_a_process_that_is_gone(tmp_path: Path) -> None:
    """A lock left by a killed watcher, or by another process of that number, holds nobody up."""
    with nginx(tmp_path) as running:
        lock = running.shared_dir / "ack" / ".lock"
        for holder in (99999999, os.getpid()):
            lock.mkdir()
            (lock / "pid").write_text(f"{holder}\n")
            with watcher(running) as watching:
                assert (lock / "pid").read_text() == f"{watching.pid}\n"


def test_watcher_that_went_silent(tmp_path: Path) -> None:
    """A watcher without heartbeat is told at once, in seconds, and nothing is handed to it."""
    wanted = file_of(3)
    with nginx(tmp_path) as running:
        actuator = SharedVolumeNginx(shared_settings(running))
        with pytest.raises(ActuationError, match=r"no watcher: .*status") as error:
            actuator.apply(wanted.generation, wanted.text)
        assert error.value.fault is ActuationFault.UNREACHABLE
        with watcher(running):
            pass
        long_ago_s = time.time() - 90
        os.utime(running.shared_dir / "ack" / "status", (long_ago_s, long_ago_s))
        with pytest.raises(ActuationError, match=r"watcher silent for 9\d s") as error:
            actuator.apply(wanted.generation, wanted.text)
        assert error.value.fault is ActuationFault.UNREACHABLE
        assert not (running.shared_dir / "req" / "request.conf").exists()
        view = actuator.view()
        assert view.generation == running.generation()
        assert view.lingering_workers is None
        assert "watcher silent" in view.detail


def test_busy_watcher_is_not_silent(watched: tuple[RunningNginx, Child]) -> None:
    """Requests without a pause between them do not keep the watcher from its heartbeat."""
    running, _ = watched
    actuator = SharedVolumeNginx(shared_settings(running))
    status = running.shared_dir / "ack" / "status"
    for weight in range(1, 9):
        wanted = file_of(weight)
        beat_ns = status.stat().st_mtime_ns
        actuator.apply(wanted.generation, wanted.text)
        assert status.stat().st_mtime_ns > beat_ns


def hook_variables(directory: Path, backends: str) -> dict[str, str]:
    """An environment like that of a container."""
    (directory / "run").mkdir(exist_ok=True)
    variables = {
        "LB_SCRIPTS": str(DEPLOY),
        "LB_SHARED_DIR": str(directory / "shared"),
        "LB_UPSTREAM_FILE": str(directory / "shared" / "live" / "upstream.conf"),
        "LB_NGINX_CONF": str(directory / "nginx.conf"),
        "LB_PID": str(directory / "nginx.pid"),
        "LB_RUN_DIR": str(directory / "run"),
        "LB_LOG_DIR": str(directory),
        "LB_LISTEN": f"127.0.0.1:{free_port()}",
        "LB_STATUS_LISTEN": f"127.0.0.1:{free_port()}",
        "LB_BACKENDS": backends,
        "LB_POOLS": "qwen",
    }
    (directory / "nginx.conf").write_text(render_conf(variables))
    return variables


def start_like_an_image(directory: Path, backends: str, **others: str) -> str:
    """Run the hook and Nginx as the image does; returns the upstream file that it began with."""
    variables = hook_variables(directory, backends) | others
    script = f'sh {DEPLOY}/40-vllm-nginx-lb.sh; exec nginx -c "$LB_NGINX_CONF" -g "daemon off;"'
    status = directory / "shared" / "ack" / "status"
    status.unlink(missing_ok=True)

    def serves() -> bool:
        return (
            status.exists() and "live=" in status.read_text() and "none" not in status.read_text()
        )

    with child(["sh", "-c", script], directory / "image.log", ready=serves, env=variables):
        return (directory / "shared" / "live" / "upstream.conf").read_text()


def test_first_start_on_an_empty_volume(tmp_path: Path) -> None:
    """On an empty volume Nginx starts with the backends of the environment, as if rendered."""
    text = start_like_an_image(tmp_path, "127.0.0.1:9002 127.0.0.1:9001, qwen=127.0.0.1:9003")
    expected = render(
        [
            Upstream("llm", [Server("127.0.0.1:9001"), Server("127.0.0.1:9002")]),
            Upstream("qwen", [Server("127.0.0.1:9003")]),
        ]
    )
    assert text == expected.text


def test_backends_may_be_separated_by_commas_alone(tmp_path: Path) -> None:
    """Commas, spaces, and both at once or twice give the same pools."""
    spaced = start_like_an_image(tmp_path, "127.0.0.1:9001 127.0.0.1:9002 qwen=127.0.0.1:9003")
    shutil.rmtree(tmp_path / "shared")
    commas = "127.0.0.1:9002,127.0.0.1:9001,,qwen=127.0.0.1:9003,"
    assert start_like_an_image(tmp_path, commas) == spaced


def test_start_without_any_backend(tmp_path: Path) -> None:
    """Without backends, or with names that nobody resolves, Nginx starts with empty pools."""
    expected = render([Upstream("llm", []), Upstream("qwen", [])]).text
    assert start_like_an_image(tmp_path, "") == expected
    shutil.rmtree(tmp_path / "shared")
    assert start_like_an_image(tmp_path, "no.such.host.invalid:80") == expected


def test_backend_that_does_not_resolve_is_left_out(tmp_path: Path) -> None:
    """One name without an address costs that backend, and no other one and no pool."""
    gone = "no.such.host.invalid:80 qwen=gone.invalid:1"
    text = start_like_an_image(tmp_path, f"{gone} localhost:9001 [::1]:9002 127.0.0.1:9003")
    left = [Server(address) for address in ("localhost:9001", "[::1]:9002", "127.0.0.1:9003")]
    assert text == render([Upstream("llm", left), Upstream("qwen", [])]).text
    assert said_by_the_hook(tmp_path)[1:] == [
        "LB_BACKENDS: no.such.host.invalid:80 is left out: its name does not resolve",
        "LB_BACKENDS: qwen=gone.invalid:1 is left out: its name does not resolve",
        "starts with the backends of LB_BACKENDS",
    ]


NAMED = [
    Upstream(
        "llm",
        [
            Server("127.0.0.1:9004", weight=3),
            Server("gone.invalid:9003", weight=7, max_conns=5),
            Server("localhost:9001", weight=40, max_conns=8),
            Server("localhost:9002", weight=9, down=True),
        ],
    ),
    Upstream("qwen", [Server("localhost:9001")]),
]
# Where the servers were on a network that is no more, and where they are now.
THEN = {
    "gone.invalid:9003": "127.0.0.8:9003",
    "localhost:9001": "127.0.0.6:9001",
    "localhost:9002": "127.0.0.7:9002",
}
NOW = THEN | {"localhost:9001": "127.0.0.1:9001", "localhost:9002": "127.0.0.1:9002"}
KEPT = "what does not resolve keeps the address of before: gone.invalid"
MOVED = "has another address than in the upstream file of before: localhost"


@pytest.mark.parametrize("file", ["upstream.conf", ".previous"])
def test_addresses_of_another_network(tmp_path: Path, file: str) -> None:
    """The file of before gets the addresses of now, and is a file of the controller again."""
    live = tmp_path / "shared" / "live"
    live.mkdir(parents=True)
    (live / file).write_text(render(NAMED, THEN).text)
    text = start_like_an_image(tmp_path, "")
    assert text == render(NAMED, NOW).text
    adopted = parse(text)
    assert adopted is not None
    assert adopted.endpoints == NOW
    said = said_by_the_hook(tmp_path)
    assert [line for line in said if "address" in line] == [KEPT, MOVED]
    assert start_like_an_image(tmp_path, "") == text
    assert said_by_the_hook(tmp_path) == [KEPT]
    assert {each.name for each in live.iterdir()} <= {"upstream.conf", ".previous"}


def test_file_that_is_not_whole_keeps_its_addresses(tmp_path: Path) -> None:
    """What somebody else has written or changed is not the hook's to change."""
    live = tmp_path / "shared" / "live"
    live.mkdir(parents=True)
    changed = render(NAMED, THEN).text.replace("weight=40", "weight=41")
    (live / "upstream.conf").write_text(changed)
    assert start_like_an_image(tmp_path, "") == changed


def test_addresses_of_now_that_nginx_refuses(tmp_path: Path) -> None:
    """Then it starts with those of before."""
    live = tmp_path / "shared" / "live"
    live.mkdir(parents=True)
    before = render(NAMED, THEN).text
    (live / "upstream.conf").write_text(before)
    variables = answering(tmp_path, "localhost) echo 127.0.0.256 ;;")
    assert start_like_an_image(tmp_path, "", **variables) == before
    refused = said_by_the_hook(tmp_path)[1]
    assert "cannot be used with the addresses of now: " in refused
    assert 'host not found in upstream "127.0.0.256:9001"' in refused


def test_address_among_several(tmp_path: Path) -> None:
    """One that is still among the answers stays, else it is the lowest, IPv4 before IPv6."""
    live = tmp_path / "shared" / "live"
    live.mkdir(parents=True)
    servers = [Server("kept.lan:1"), Server("moved.lan:1"), Server("six.lan:1"), Server("v6.lan:1")]
    pools = [Upstream("llm", servers), Upstream("qwen", [])]
    names = [server.address for server in servers]
    then = dict(zip(names, ["10.0.0.9:1", "10.0.0.9:1", "10.0.0.9:1", "[fd00::9]:1"], strict=True))
    now = dict(zip(names, ["10.0.0.9:1", "10.0.0.3:1", "[fd00::1]:1", "[fd00::9]:1"], strict=True))
    (live / "upstream.conf").write_text(render(pools, then).text)
    variables = answering(
        tmp_path,
        "kept.lan) printf '%s STREAM\\n' fd00::1 10.0.0.1 10.0.0.9 ;;",
        "moved.lan) printf '%s STREAM\\n' fd00::1 10.0.0.5 10.0.0.3 ;;",
        "six.lan) printf '%s STREAM\\n' fe80::1%eth0 fd00::2 fd00::1 ;;",
        "v6.lan) printf '%s STREAM\\n' fd00::1 fd00::9 ;;",
    )
    assert start_like_an_image(tmp_path, "", **variables) == render(pools, now).text


def answering(directory: Path, *names: str) -> dict[str, str]:
    """Variables with which `getent` answers for these names, each a branch of a `case`."""
    (directory / "bin").mkdir()
    branches = "\n".join([*names, "127.0.0.1) ;;", "*) exit 2 ;;"])
    (directory / "bin/getent").write_text(f'#!/bin/sh\ncase "$2" in\n{branches}\nesac\n')
    (directory / "bin/getent").chmod(0o755)
    return {"PATH": f"{directory}/bin:{os.environ['PATH']}"}


def test_value_that_nginx_cannot_use_stops_the_start(tmp_path: Path) -> None:
    """The hook ends with what render.sh said, and leaves configuration and upstream file alone."""
    variables = hook_variables(tmp_path, "127.0.0.1:9001") | {"LB_RENDER": "on"}
    before = (tmp_path / "nginx.conf").read_text()
    done = subprocess.run(
        ["sh", DEPLOY / "40-vllm-nginx-lb.sh"],
        env={**os.environ, **variables, "LB_WORKERS": "two", "LB_BODY_MAX": "big"},
        check=False,
        timeout=20,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "render.sh: LB_WORKERS=two: expected auto or a whole number from 1",
        "render.sh: LB_BODY_MAX=big: expected a size such as 128k, 100m or 1g",
        f"40-vllm-nginx-lb.sh: {tmp_path}/nginx.conf is not written, and Nginx not started",
    ]
    assert (tmp_path / "nginx.conf").read_text() == before
    assert not (tmp_path / "nginx.conf.new").exists()
    assert not (tmp_path / "shared" / "live" / "upstream.conf").exists()


def said_by_the_hook(directory: Path) -> list[str]:
    """What the hook logged, without the directory of the test; then begins a new log."""
    log = directory / "image.log"
    lines = [line for line in log.read_text().splitlines() if line.startswith("40-vllm-nginx-lb")]
    log.unlink()
    return [line.partition(": ")[2].replace(str(directory), "") for line in lines]


def test_hook_says_what_it_did(tmp_path: Path) -> None:
    """The log names the file that Nginx starts with, and blames nothing where nothing is wrong."""
    absent = "there is no /shared/live/upstream.conf yet"
    empty = "starts without backends: each request is a 502 until the controller has written some"
    for backends in ("", " ", ", "):
        start_like_an_image(tmp_path, backends)
        assert said_by_the_hook(tmp_path) == [absent, empty]
        shutil.rmtree(tmp_path / "shared")
    start_like_an_image(tmp_path, "127.0.0.1:9001")
    assert said_by_the_hook(tmp_path) == [absent, "starts with the backends of LB_BACKENDS"]
    start_like_an_image(tmp_path, "127.0.0.1:9001")
    assert said_by_the_hook(tmp_path) == []
    (tmp_path / "shared" / "live" / "upstream.conf").write_text("upstream llm {")
    start_like_an_image(tmp_path, "127.0.0.1:http")
    refused, lost, started = said_by_the_hook(tmp_path)
    assert refused.startswith("the upstream file cannot be used: ")
    assert "unexpected end of file" in refused
    assert lost.startswith("the backends of LB_BACKENDS cannot be used: ")
    assert "invalid port" in lost
    assert started == empty


def test_start_after_the_live_file_broke(tmp_path: Path) -> None:
    """A file that Nginx refuses gives way to the one of before it; a good one is left alone."""
    live = tmp_path / "shared" / "live"
    live.mkdir(parents=True)
    kept = render([Upstream("llm", [Server("127.0.0.1:9001", weight=7)]), Upstream("qwen", [])])
    (live / "upstream.conf").write_text("upstream llm {")
    (live / ".previous").write_text(kept.text)
    assert start_like_an_image(tmp_path, "127.0.0.1:9002") == kept.text
    assert start_like_an_image(tmp_path, "127.0.0.1:9002") == kept.text


def test_killed_watcher_is_started_again(tmp_path: Path) -> None:
    """Nobody but the hook is there to start a watcher again, so it does."""
    variables = hook_variables(tmp_path, "")
    script = f'sh {DEPLOY}/40-vllm-nginx-lb.sh; exec nginx -c "$LB_NGINX_CONF" -g "daemon off;"'
    holder = tmp_path / "shared" / "ack" / ".lock" / "pid"

    def another(than: str) -> bool:
        # It is taken away and made anew.
        with contextlib.suppress(FileNotFoundError):
            return holder.read_text().strip() not in {"", than}
        return False

    with child(
        ["sh", "-c", script], tmp_path / "image.log", ready=lambda: another(""), env=variables
    ):
        first = holder.read_text().strip()
        os.kill(int(first), 9)
        await_true(lambda: another(first), 10, "another watcher holds the lock")


# Ten seconds pass quickly for the hook.
QUICK = """#!/bin/sh
[ "$1" != 10 ] || set -- 0.2
exec /bin/sleep "$1"
"""


def test_log_that_grows_is_begun_anew(short_dir: Path) -> None:
    """It is, and again, and when Nginx could not be told at first it is told later."""
    # Workers open the log as their own user.
    short_dir.chmod(0o755)
    variables = hook_variables(short_dir, "")
    (short_dir / "bin").mkdir()
    (short_dir / "bin/sleep").write_text(QUICK)
    (short_dir / "bin/sleep").chmod(0o755)
    variables |= {"LB_LOG_MAX_BYTES": "2000", "PATH": f"{short_dir}/bin:{os.environ['PATH']}"}
    hook = f'sh {DEPLOY}/40-vllm-nginx-lb.sh; exec nginx -c "$LB_NGINX_CONF" -g "daemon off;"'
    entry = f"http://{variables['LB_LISTEN']}/v1/models"
    log, older, pid = (short_dir / name for name in ("access.log", "access.log.1", "nginx.pid"))

    def ask() -> bool:
        try:
            urllib.request.urlopen(entry, timeout=5).close()
        except urllib.error.HTTPError as refusal:
            refusal.close()
        except OSError:
            return False
        return True

    with child(["sh", "-c", hook], short_dir / "image.log", ready=ask, env=variables):
        for _ in range(2):
            older.unlink(missing_ok=True)
            await_true(lambda: ask() and older.exists(), 20, "the log is begun anew")
            await_true(lambda: ask() and size_of(log) > 0, 20, "Nginx writes to the new one")
        pid.rename(short_dir / "nginx.pid.away")
        older.unlink()
        await_true(lambda: ask() and older.exists(), 20, "the log is begun anew")
        size = older.stat().st_size
        await_true(lambda: ask() and older.stat().st_size > size, 20, "Nginx writes to the old one")
        assert size_of(log) == 0
        (short_dir / "nginx.pid.away").rename(pid)
        await_true(lambda: ask() and size_of(log) > 0, 20, "Nginx was told after all")
        quiet = reopened(short_dir)
        await_true(lambda: ask() and size_of(log) > 1000, 20, "it goes on there")
        assert reopened(short_dir) == quiet
    assert "cannot rotate" in (short_dir / "image.log").read_text()


def size_of(log: Path) -> int:
    """Its bytes; none while there is no file, as there is not between its two names."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def reopened(directory: Path) -> int:
    """How often Nginx was told to open its logs again; its first process says so before others."""
    first = (directory / "nginx.pid").read_text().strip()
    return (directory / "error.log").read_text().count(f"{first}#{first}: reopening logs")


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_unprivileged_image() -> None:
    """Hook, watcher and Nginx work as one user without any privilege, the controller as another."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        variables = hook_variables(directory, "127.0.0.1:9001")
        for path in (directory, *directory.iterdir()):
            os.chown(path, 65534, 65534)
        script = f'sh {DEPLOY}/40-vllm-nginx-lb.sh; exec nginx -c "$LB_NGINX_CONF" -g "daemon off;"'
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        endpoint = Endpoint.parse(f"http://{variables['LB_STATUS_LISTEN']}/lb/generation")
        actuator = SharedVolumeNginx(SharedSettings(directory / "shared", endpoint))
        wanted = render([Upstream("llm", []), Upstream("qwen", [])])
        log = directory / "image.log"
        with child(
            [*user, "sh", "-c", script],
            log,
            ready=lambda: actuator.view().live_workers is not None,
            env=variables,
        ):
            actuator.apply(wanted.generation, wanted.text)
            assert actuator.view().generation == wanted.generation
        assert "[warn]" not in log.read_text()


def test_seed_is_adopted(tmp_path: Path) -> None:
    """What the hook writes is whole in the eyes of the controller, so nothing need be reloaded."""
    text = start_like_an_image(tmp_path, "127.0.0.1:9001")
    adopted = parse(text)
    assert adopted is not None
    assert adopted.pools["llm"] == (Server("127.0.0.1:9001"),)
