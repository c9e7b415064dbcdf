"""Layouts in which a swap would not be safe are refused, with the reason and the remedy."""

import os
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.nginx import Endpoint, LocalNginx, SharedVolumeNginx
from controller.core.errors import ActuationError, ActuationFault
from lab.nginx import nginx, watcher
from lab.processes import await_true, child
from tests.integration.nginx.cases import (
    Way,
    file_of,
    is_accepted,
    local_settings,
    shared_settings,
    way_to,
)
from tests.integration.nginx.elsewhere import elsewhere

pytestmark = pytest.mark.integration
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and other users need root")


@needs_root
@pytest.mark.parametrize("way", ["local", "shared"])
def test_bind_mounted_single_file(tmp_path: Path, way: Way) -> None:
    """An upstream file that is a mount of its own cannot be renamed over, and is refused."""
    before = file_of(1)
    with nginx(tmp_path, upstream_text=before.text) as running, watcher(running):
        mount = f"mount --bind {running.upstream_file} {running.upstream_file}"
        seen = elsewhere("apply", running, way, mounts=mount)
        assert seen.fault == ActuationFault.UNSAFE
        assert "bind-mounted single file" in seen.message
        assert f"mount its directory {running.upstream_dir} instead" in seen.message
        assert seen.live == before.text


@needs_root
@pytest.mark.parametrize("way", ["local", "shared"])
def test_directory_of_another_user(way: Way) -> None:
    """A directory that cannot be written is named together with the user who cannot."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with nginx(directory) as running, watcher(running):
            seen = elsewhere("apply", running, way, uid=65534)
            assert seen.fault == ActuationFault.UNSAFE
            assert "user 65534 cannot create files in" in seen.message
            assert "Permission denied" in seen.message


@needs_root
def test_master_of_another_user() -> None:
    """Who may not signal Nginx learns it before anything is swapped."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with nginx(directory) as running:
            running.upstream_dir.chmod(0o777)
            seen = elsewhere("apply", running, "local", uid=65534)
            assert seen.fault == ActuationFault.UNSAFE
            assert "user 65534 may not signal the Nginx master" in seen.message
            assert seen.live == running.upstream_file.read_text() != file_of(9).text


@needs_root
@pytest.mark.parametrize("way", ["local", "shared"])
def test_full_disk(tmp_path: Path, way: Way) -> None:
    """A full disk leaves the old file as it was and no half a file beside it."""
    before = file_of(1)
    with nginx(tmp_path, upstream_text=before.text) as running, watcher(running):
        target = running.upstream_dir if way == "local" else running.shared_dir / "req"
        fill = (
            f"cp {running.upstream_file} {tmp_path}/copy"
            f" && mount -t tmpfs -o size=16k tmpfs {target}"
            f" && if [ {way} = local ]; then cp {tmp_path}/copy {running.upstream_file}; fi"
            f" && {{ cat /dev/zero >{target}/filler 2>/dev/null || true; }}"
        )
        seen = elsewhere("apply", running, way, mounts=fill)
        assert seen.fault == ActuationFault.UNSAFE
        assert "No space left on device" in seen.message
        assert seen.live == before.text
        assert sorted(seen.names) == (["filler", "upstream.conf"] if way == "local" else ["filler"])


@pytest.mark.parametrize("way", ["local", "shared"])
def test_missing_directory(tmp_path: Path, way: Way) -> None:
    """A directory that is not there is named."""
    with nginx(tmp_path) as running, way_to(running, way) as actuator:
        running.upstream_dir.rename(tmp_path / "gone")
        with pytest.raises(ActuationError, match="live is not a directory: create it") as error:
            actuator.apply(file_of(2).generation, file_of(2).text)
        assert error.value.fault is ActuationFault.UNSAFE


def test_pid_of_another_program(tmp_path: Path) -> None:
    """A process that is not the Nginx master is never signalled."""
    before, wanted = file_of(1), file_of(2)
    with (
        nginx(tmp_path, upstream_text=before.text) as running,
        child(["sleep", "60"], tmp_path / "sleep.log") as sleeping,
    ):
        running.pid_file.write_text(f"{sleeping.pid}\n")
        with pytest.raises(ActuationError, match=r"is 'sleep 60', expected a master") as error:
            LocalNginx(local_settings(running)).apply(wanted.generation, wanted.text)
        assert error.value.fault is ActuationFault.UNREACHABLE
        assert sleeping.is_running()
        assert running.upstream_file.read_text() == before.text
        with watcher(running):
            with pytest.raises(ActuationError, match="no Nginx master") as error:
                SharedVolumeNginx(shared_settings(running)).apply(wanted.generation, wanted.text)
            assert error.value.fault is ActuationFault.UNREACHABLE
        assert sleeping.is_running()
        assert running.upstream_file.read_text() == before.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("99999999\n", r"^Nginx is not running: pid 99999999 of \S+ has ended; .* shared-volume"),
        ("", r"^pid file \S+ is empty: Nginx is just starting"),
        ("\n", r"^pid file \S+ is empty: Nginx is just starting"),
        ("-1\n", r"holds '-1', which is no process id"),
        ("0\n", r"holds '0', which is no process id"),
        ("nginx\n", r"holds 'nginx', which is no process id"),
    ],
)
def test_pid_file_of_no_process(tmp_path: Path, content: str, said: str) -> None:
    """A stale, empty or senseless pid file leads to no signal to anybody."""
    with nginx(tmp_path) as running:
        running.pid_file.write_text(content)
        with pytest.raises(ActuationError, match=said) as error:
            LocalNginx(local_settings(running)).apply(file_of(2).generation, file_of(2).text)
        assert error.value.fault is ActuationFault.UNREACHABLE
        assert is_accepted(running)


def test_nginx_that_was_just_killed(tmp_path: Path) -> None:
    """A killed Nginx is told as not running, also while nobody has reaped its process yet."""
    with nginx(tmp_path) as running:
        actuator = LocalNginx(local_settings(running))
        running.process.signal(signal.SIGKILL)
        title = Path(f"/proc/{running.process.pid}/cmdline")
        await_true(lambda: not title.read_bytes(), 5, "it has ended, and nobody has reaped it")
        for _ in range(2):
            with pytest.raises(ActuationError, match=r"^Nginx is not running: pid \d+") as error:
                actuator.apply(file_of(2).generation, file_of(2).text)
            assert error.value.fault is ActuationFault.UNREACHABLE
            running.process.process.wait(5)


def test_reload_command(tmp_path: Path) -> None:
    """A command of the user takes the place of the signal; its failure is told and rolled back."""
    before, wanted = file_of(1), file_of(2)
    with nginx(tmp_path, upstream_text=before.text) as running:
        settings = local_settings(running)
        good = ("nginx", "-c", str(running.conf), "-s", "reload")
        bad = ("sh", "-c", "echo no permission >&2; exit 4")
        failing = LocalNginx(replace(settings, reload_command=bad))
        with pytest.raises(ActuationError, match=r"failed with exit code 4: no permission"):
            failing.apply(wanted.generation, wanted.text)
        assert running.upstream_file.read_text() == before.text
        working = LocalNginx(replace(settings, reload_command=good))
        working.apply(wanted.generation, wanted.text)
        assert running.generation() == wanted.generation


def test_hanging_test_is_killed(tmp_path: Path) -> None:
    """A test that does not end is killed at its deadline, and says nothing about the file."""
    before, wanted = file_of(1), file_of(2)
    slow = tmp_path / "nginx"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with nginx(tmp_path / "run", upstream_text=before.text) as running:
        settings = local_settings(running)
        settings = replace(settings, binary=str(slow), test_timeout_s=0.3)
        with pytest.raises(ActuationError, match=r"did not end within 0\.3 s") as error:
            LocalNginx(settings).apply(wanted.generation, wanted.text)
        assert error.value.fault is ActuationFault.UNSAFE
        assert running.upstream_file.read_text() == before.text


def test_unix_socket_for_the_generation(tmp_path: Path) -> None:
    """The generation can be asked for over a unix socket, which needs no port."""
    wanted = file_of(2)
    path = tmp_path / "status.sock"
    with nginx(tmp_path) as running:
        text = running.conf.read_text()
        listen = running.status_url.removeprefix("http://")
        running.conf.write_text(
            text.replace(f"listen {listen};", f"listen {listen}; listen unix:{path};")
        )
        LocalNginx(local_settings(running)).apply(wanted.generation, wanted.text)
        settings = local_settings(running)
        endpoint = Endpoint.parse(f"unix:{path}:/lb/generation")
        actuator = LocalNginx(replace(settings, endpoint=endpoint))
        assert actuator.view().generation == wanted.generation
