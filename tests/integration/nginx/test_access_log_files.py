"""How mtail follows the access log and forgets departed backends."""

import grp
import os
import pwd
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.mtail import PROGRAM, RunningMtail, mtail
from lab.nginx import RunningNginx, nginx, seed_text
from lab.processes import await_true
from tests.integration.nginx.cases import backend, open_files, workers
from tests.integration.nginx.test_access_log_lines import line
from tests.integration.nginx.test_entry_point import call
from tests.integration.nginx.test_metrics_page import blocks

pytestmark = pytest.mark.integration


def counted(reader: RunningMtail) -> float:
    """How many requests mtail has counted."""
    return reader.samples().value("nginx_lb_requests_total")


def settle(reader: RunningMtail, requests: int) -> None:
    """Wait until it has counted so many."""
    await_true(lambda: counted(reader) >= requests, 10, f"{requests} requests counted")


def ask(running: RunningNginx, times: int) -> None:
    """Send requests, one after the other."""
    for _ in range(times):
        assert call(f"{running.url}/v1/models").status == 200


def rotate(running: RunningNginx, directory: Path) -> None:
    """Let logrotate do what the page tells it to do."""
    (text,) = blocks("logrotate")
    conf, state = directory / "rotate.conf", directory / "state"
    owner = f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
    for written, here in (
        ("/var/log/nginx/", f"{running.directory}/"),
        ("/run/nginx.pid", str(running.pid_file)),
        ("www-data adm", owner),
    ):
        assert written in text
        text = text.replace(written, here)
    conf.write_text(text)
    subprocess.run(["logrotate", "--force", "--state", state, conf], check=True)


Turn = Callable[[RunningNginx, Path], None]


def rename(running: RunningNginx, _: Path) -> None:
    """What logrotate does, in three steps."""
    log = running.access_log
    log.rename(log.with_name("access.log.1"))
    log.touch(0o640)
    os.kill(running.process.pid, signal.SIGUSR1)


@pytest.mark.parametrize("turn", [rename, rotate])
def test_rotation_loses_and_doubles_nothing(tmp_path: Path, turn: Turn) -> None:
    """What was written before, while and after the log was rotated is counted once."""
    with (
        backend() as one,
        nginx(tmp_path, upstream_text=seed_text("llm", (one.address,))) as ng,
        mtail(tmp_path / "mtail", ng.access_log) as reader,
    ):
        ask(ng, 10)
        settle(reader, 10)
        # It looks at the file every so often. That it does not do so between the new name and
        # the reopening is what the page bounds, and here made certain.
        reader.process.signal(signal.SIGSTOP)
        first = ng.access_log.stat().st_ino
        ask(ng, 3)
        turn(ng, tmp_path)
        ask(ng, 5)
        await_true(lambda: _is_open(ng), 20, "Nginx has reopened its log")
        ask(ng, 4)
        reader.process.signal(signal.SIGCONT)
        settle(reader, 22)
        ask(ng, 2)
        settle(reader, 24)
        assert counted(reader) == 24
        assert reader.samples().value("nginx_lb_unparsed_total") == 0
        assert ng.access_log.stat().st_ino != first


def _is_open(running: RunningNginx) -> bool:
    # Each worker has it open, and none has the old one.
    log = str(running.access_log)
    for pid in workers(running):
        names = open_files(pid)
        if log not in names or f"{log}.1" in names:
            return False
    return True


def test_a_log_that_is_copied_and_truncated(tmp_path: Path) -> None:
    """A log that becomes empty is read from its beginning."""
    log = tmp_path / "access.log"
    log.touch()
    with mtail(tmp_path / "mtail", log) as reader:
        for total, times in ((4, 4), (6, 2)):
            with log.open("a") as file:
                file.write(f"{line()}\n" * times)
            settle(reader, total)
            os.truncate(log, 0)
        assert counted(reader) == 6


def test_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    """A missing log ends nothing; it is followed from when it is found."""
    log = tmp_path / "access.log"
    with mtail(tmp_path / "mtail", log) as reader:
        assert counted(reader) == 0

        def one_more() -> bool:
            with log.open("a") as file:
                file.write(f"{line()}\n")
            return counted(reader) > 0

        await_true(one_more, 10, "the log is found", poll_s=0.1)
        assert reader.process.is_running()


def test_departed_backends_vanish(tmp_path: Path) -> None:
    """Who is asked no more leaves the metrics after its time; who is asked keeps its counts."""
    program = tmp_path / "quick.mtail"
    text = PROGRAM.read_text()
    assert text.count("after 24h") >= 3
    program.write_text(text.replace("after 24h", "after 5s"))
    log = tmp_path / "access.log"
    log.touch()
    stays = "10.0.0.9:8000"
    names = ("responses_total", "header_seconds_count", "response_seconds_count")
    flags = ("--expired_metrics_gc_interval=100ms",)
    with mtail(tmp_path / "mtail", log, *flags, program=program) as reader:
        with log.open("a") as file:
            file.write(f"{line()}\n{line(upstream_addr=stays, upstream_status='504')}\n")
        settle(reader, 2)
        written = 2

        def only_one_left() -> bool:
            nonlocal written
            with log.open("a") as file:
                file.write(f"{line(upstream_addr=stays)}\n")
            written += 1
            left = {s.labels["upstream"] for s in reader.samples().all if "upstream" in s.labels}
            return left == {stays}

        await_true(only_one_left, 30, "the departed backend is gone", poll_s=0.1)
        settle(reader, written)
        samples = reader.samples()
    for name in names:
        assert samples.value(f"nginx_lb_upstream_{name}", upstream=stays) == written - 1
    # An error that was long ago is still counted: it must not look new when it happens again.
    assert samples.value("nginx_lb_upstream_responses_total", upstream=stays, code="504") == 1
    assert samples.value("nginx_lb_requests_total") == written
