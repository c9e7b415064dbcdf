"""Whoever is killed, and wherever: Nginx accepts the file on disk, and the next call works."""

import concurrent.futures
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controller.adapters.nginx import SharedVolumeNginx
from controller.core.errors import ActuationError, ActuationFault
from lab.nginx import RunningNginx, nginx, watcher
from lab.processes import await_true
from tests.integration.nginx.cases import (
    Way,
    edit,
    file_of,
    is_accepted,
    shared_settings,
    way_to,
)
from tests.integration.nginx.killed import STEPS

pytestmark = pytest.mark.integration

CASES: list[tuple[Way, str, str]] = [
    (way, step, when)
    for way in ("local", "shared")
    for step in STEPS[way]
    for when in ("before", "after")
]
ROOT = Path(__file__).parents[3]
ZONE = "limit_req_zone $binary_remote_addr zone=calls:1m rate=1r/s;"


def die_while_applying(running: RunningNginx, way: Way, step: str, when: str, weight: int) -> None:
    """Apply in a process of its own that is killed at the step."""
    program = [sys.executable, "-m", "tests.integration.nginx.killed"]
    arguments = [way, step, when, str(running.directory), running.generation_url, str(weight)]
    done = subprocess.run(
        [*program, *arguments], cwd=ROOT, check=False, timeout=30, stderr=subprocess.PIPE
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(("way", "step", "when"), CASES)
def test_controller_killed_at_any_step(tmp_path: Path, way: Way, step: str, when: str) -> None:
    """A controller killed at any step leaves an accepted file, and the next call converges."""
    before, wanted = file_of(3), file_of(5)
    with nginx(tmp_path, upstream_text=before.text) as running, way_to(running, way) as actuator:
        if step == "_go_back":  # reached only when Nginx does not take up the reload
            edit(running, "server_tokens off;", f"server_tokens off; {ZONE}")
            first = file_of(2)
            actuator.apply(first.generation, first.text)
            edit(running, "$binary_remote_addr zone", "$request_uri zone")
        die_while_applying(running, way, step, when, 4)
        assert is_accepted(running)
        if step == "_go_back":
            edit(running, "$request_uri zone", "$binary_remote_addr zone")
        actuator.apply(wanted.generation, wanted.text)
        assert running.generation() == wanted.generation
        assert running.upstream_file.read_text() == wanted.text


def test_file_that_nginx_was_never_told_of_is_not_gone_back_to(tmp_path: Path) -> None:
    """After a death between swap and signal, a failed change goes back to what Nginx serves."""
    before, wanted = file_of(3), file_of(5)
    with (
        nginx(tmp_path) as running,
        way_to(running, "local") as patient,
        way_to(running, "local", confirm_timeout_s=1) as actuator,
    ):
        edit(running, "server_tokens off;", f"server_tokens off; {ZONE}")
        patient.apply(before.generation, before.text)
        die_while_applying(running, "local", "_swap", "after", 4)
        assert running.upstream_file.read_text() == file_of(4).text
        assert running.generation() == before.generation
        edit(running, "$binary_remote_addr zone", "$request_uri zone")
        with pytest.raises(ActuationError, match="previous upstream file is back in place"):
            actuator.apply(wanted.generation, wanted.text)
        assert running.upstream_file.read_text() == before.text


def real_program(name: str) -> str:
    """Where the shell finds a program."""
    done = subprocess.run(["which", name], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def fatal_programs(directory: Path, name: str, nth: int, when: str, lock: Path) -> Path:
    """A directory for the PATH in which one program kills the watcher at its nth call."""
    directory.mkdir()
    real = real_program(name)
    count = directory / "count"
    kill = f'kill -9 "$(cat {lock}/pid)"'
    (directory / name).write_text(
        f"#!/bin/sh\necho >>{count}\n"
        f'[ "$(wc -l <{count})" -eq {nth} ] || exec {real} "$@"\n'
        + (f"{kill}\n" if when == "before" else f'{real} "$@"\n{kill}\n')
    )
    (directory / name).chmod(0o755)
    return directory


# The programs that the watcher runs for one request, in their order.
WATCHER_STEPS = [
    ("head", 1),  # the private copy
    ("grep", 1),  # the grammar
    ("dd", 1),  # the candidate
    ("ln", 1),  # the staged configuration
    ("nginx", 1),  # the test
    ("cp", 1),  # the file of before is kept
    ("mv", 1),  # the same
    ("mv", 2),  # the swap
    ("mv", 3),  # the answer, after the reload
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("program", "nth"), WATCHER_STEPS)
def test_watcher_killed_at_any_step(tmp_path: Path, program: str, nth: int, when: str) -> None:
    """A watcher killed at any step leaves an accepted file; the next one finishes the request."""
    before, wanted = file_of(3), file_of(4)
    with nginx(tmp_path, upstream_text=before.text) as running:
        lock = running.shared_dir / "ack" / ".lock"
        fatal = fatal_programs(tmp_path / "fatal", program, nth, when, lock)
        actuator = SharedVolumeNginx(shared_settings(running))
        with (
            concurrent.futures.ThreadPoolExecutor(1) as pool,
            watcher(running, PATH=f"{fatal}:{os.environ['PATH']}") as doomed,
        ):
            applied = pool.submit(actuator.apply, wanted.generation, wanted.text)
            await_true(lambda: not doomed.is_running(), 10, "the watcher is killed")
            assert is_accepted(running)
            with watcher(running):
                applied.result(20)
                assert running.generation() == wanted.generation
                assert running.upstream_file.read_text() == wanted.text


@pytest.mark.parametrize("weight", [5, 6])
def test_nginx_that_ends_between_test_and_signal(tmp_path: Path, weight: int) -> None:
    """A swap that nobody can be told of is undone, and never to a file older than the live one."""
    first, live, asked = file_of(4), file_of(5), file_of(weight)
    fatal = tmp_path / "fatal"
    fatal.mkdir()
    with nginx(tmp_path / "run") as running:
        actuator = SharedVolumeNginx(shared_settings(running))
        with watcher(running):
            for wanted in (first, live):
                actuator.apply(wanted.generation, wanted.text)
        master = running.process.pid
        # The watcher compares the files when it has found the master, just before the swap.
        (fatal / "cmp").write_text(
            f"#!/bin/sh\nkill {master}\nwhile kill -0 {master} 2>/dev/null; do sleep 0.02; done\n"
            f'exec {real_program("cmp")} "$@"\n'
        )
        (fatal / "cmp").chmod(0o755)
        with (
            concurrent.futures.ThreadPoolExecutor(1) as pool,
            watcher(running, PATH=f"{fatal}:{os.environ['PATH']}"),
        ):
            # Past the short cut of apply, which leaves alone what Nginx serves.
            submitted = pool.submit(actuator._submit, asked.generation, asked.text)
            await_true(lambda: not running.process.is_running(), 10, "Nginx has ended")
            with pytest.raises(ActuationError, match="cannot signal the Nginx master") as error:
                submitted.result(20)
        assert error.value.fault is ActuationFault.UNREACHABLE
        assert running.upstream_file.read_text() == live.text


def test_watcher_does_not_answer_twice(tmp_path: Path) -> None:
    """A watcher started again leaves a request alone that was answered."""
    wanted = file_of(4)
    with nginx(tmp_path) as running:
        with watcher(running):
            SharedVolumeNginx(shared_settings(running)).apply(wanted.generation, wanted.text)
        status = running.shared_dir / "ack" / "status"
        with watcher(running) as again:
            started_s = status.stat().st_mtime
            await_true(lambda: status.stat().st_mtime > started_s, 20, "it has looked around")
            assert again.log.read_text().count(": ok") == 1
