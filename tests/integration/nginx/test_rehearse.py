"""What `vllm-nginx-lb check` finds out before the first change, and that it touches nothing."""

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.nginx import LocalNginx, SharedVolumeNginx
from controller.core.errors import ActuationError, ActuationFault
from lab.nginx import RunningNginx, nginx, watcher
from tests.integration.nginx.cases import (
    WAYS,
    Way,
    edit,
    file_of,
    local_settings,
    shared_settings,
    way_to,
)
from tests.integration.nginx.elsewhere import elsewhere

pytestmark = pytest.mark.integration
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and other users need root")


def fault_of(actuator: LocalNginx | SharedVolumeNginx) -> tuple[ActuationFault, str]:
    """What the rehearsal has to say."""
    with pytest.raises(ActuationError) as error:
        actuator.rehearse()
    return error.value.fault, str(error.value)


def state_of(running: RunningNginx) -> dict[str, tuple[int, float]]:
    """Every file that a change would touch, by inode and time; the heartbeat beats anyway."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime)
        for directory in (running.upstream_dir, running.shared_dir / "req", running.conf.parent)
        for path in directory.iterdir()
        if path.is_file() and path.suffix not in {".log", ".out"}
    }


@pytest.mark.parametrize("way", WAYS)
def test_sound_layout_is_left_alone(tmp_path: Path, way: Way) -> None:
    """Where a change could be made the rehearsal says nothing, writes nothing, reloads nothing."""
    with nginx(tmp_path, upstream_text=file_of(3).text) as running, way_to(running, way) as found:
        assert isinstance(found, LocalNginx | SharedVolumeNginx)
        staging = running.upstream_dir / ".staging"
        staging.mkdir()  # of a controller that runs, in the middle of a change
        before = state_of(running)
        found.rehearse()
        assert state_of(running) == before
        assert staging.is_dir()
        assert sorted(path.name for path in running.upstream_dir.iterdir()) == [
            ".staging",
            "upstream.conf",
        ]
        assert "reconfiguring" not in running.error_log.read_text()


@pytest.mark.parametrize("way", WAYS)
def test_directory_that_is_not_there(tmp_path: Path, way: Way) -> None:
    """A missing directory is named with what to do."""
    with nginx(tmp_path) as running, way_to(running, way) as found:
        assert isinstance(found, LocalNginx | SharedVolumeNginx)
        written = running.upstream_dir if way == "local" else running.shared_dir / "req"
        written.rename(tmp_path / "gone")
        fault, message = fault_of(found)
        assert fault is ActuationFault.UNSAFE
        assert f"{written} is not a directory: create it" in message


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_directory_of_another_user(way: Way) -> None:
    """A directory that cannot be written is named together with the user who cannot."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with nginx(Path(name)) as running, watcher(running):
            seen = elsewhere("rehearse", running, way, uid=65534)
        assert seen.fault == ActuationFault.UNSAFE
        assert "user 65534 cannot create files in" in seen.message


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_bind_mounted_single_file(tmp_path: Path, way: Way) -> None:
    """An upstream file that is a mount of its own is refused before the first change."""
    with nginx(tmp_path) as running, watcher(running):
        mount = f"mount --bind {running.upstream_file} {running.upstream_file}"
        seen = elsewhere("rehearse", running, way, mounts=mount)
    assert seen.fault == ActuationFault.UNSAFE
    assert "bind-mounted single file" in seen.message


@needs_root
def test_master_of_another_user() -> None:
    """Who may not signal Nginx learns it, and that a reload command is the other way."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with nginx(Path(name)) as running:
            running.upstream_dir.chmod(0o777)
            for path in (running.error_log, running.access_log):
                path.chmod(0o666)
            seen = elsewhere("rehearse", running, "local", uid=65534)
    assert seen.fault == ActuationFault.UNSAFE
    assert "may not signal the Nginx master" in seen.message
    assert "set a reload command" in seen.message


def test_configuration_that_is_not_there(tmp_path: Path) -> None:
    """A config_file that names nothing is told as that."""
    with nginx(tmp_path) as running:
        settings = replace(local_settings(running), conf=tmp_path / "other" / "nginx.conf")
        fault, message = fault_of(LocalNginx(settings))
    assert fault is ActuationFault.UNSAFE
    assert f"{tmp_path}/other/nginx.conf: no such file; config_file names" in message


def test_upstream_file_that_is_not_included(tmp_path: Path) -> None:
    """A configuration that never reads the upstream file is told which line it lacks."""
    with nginx(tmp_path) as running:
        line = f"include {running.upstream_file};"
        edit(running, line, 'map "" $lb_generation { default "x"; }')
        fault, message = fault_of(LocalNginx(local_settings(running)))
    assert fault is ActuationFault.UNSAFE
    assert f"add the line `{line}` to its http block" in message


def test_no_upstream_file_yet(tmp_path: Path) -> None:
    """Before the first upstream file Nginx cannot even start, so that is what is told first."""
    with nginx(tmp_path) as running:
        actuator = LocalNginx(local_settings(running))
        running.upstream_file.unlink()
    fault, message = fault_of(actuator)
    assert fault is ActuationFault.UNSAFE
    assert f"no upstream file {running.upstream_file} yet" in message
    assert "`vllm-nginx-lb init`" in message
    assert not list(running.upstream_dir.iterdir())


def test_configuration_that_nginx_refuses(tmp_path: Path) -> None:
    """A fault anywhere in the configuration is told in Nginx's words, with the user's paths."""
    with nginx(tmp_path) as running:
        edit(running, "server_tokens off;", "server_tokens maybe;")
        fault, message = fault_of(LocalNginx(local_settings(running)))
    assert fault is ActuationFault.UNSAFE
    assert "maybe" in message
    assert f"{running.conf}:" in message


def test_nginx_that_is_not_running(tmp_path: Path) -> None:
    """With a sound configuration and no Nginx, the missing Nginx is what is told."""
    with nginx(tmp_path) as running:
        actuator = LocalNginx(local_settings(running))
    fault, message = fault_of(actuator)
    assert fault is ActuationFault.UNREACHABLE
    assert "Nginx is not running" in message


def test_watcher_without_heartbeat(tmp_path: Path) -> None:
    """A watcher that never ran, or went silent, is told as that."""
    with nginx(tmp_path) as running:
        actuator = SharedVolumeNginx(shared_settings(running))
        fault, message = fault_of(actuator)
        assert fault is ActuationFault.UNREACHABLE
        assert "no watcher: " in message
        with watcher(running):
            pass
        long_ago_s = time.time() - 90
        os.utime(running.shared_dir / "ack" / "status", (long_ago_s, long_ago_s))
        fault, message = fault_of(actuator)
    assert fault is ActuationFault.UNREACHABLE
    assert "watcher silent for 9" in message


def test_watcher_that_sees_no_nginx(tmp_path: Path) -> None:
    """A watcher whose pid file names no Nginx master cannot tell anybody of a change."""
    with nginx(tmp_path) as running, watcher(running, LB_PID=str(tmp_path / "other.pid")):
        fault, message = fault_of(SharedVolumeNginx(shared_settings(running)))
    assert fault is ActuationFault.UNREACHABLE
    assert "sees no Nginx master: start Nginx, or set LB_PID" in message


def test_heartbeat_of_another_program(tmp_path: Path) -> None:
    """A status file that is no heartbeat is not taken for a watcher."""
    with nginx(tmp_path) as running:
        (running.shared_dir / "ack" / "status").write_text("hello\n")
        fault, message = fault_of(SharedVolumeNginx(shared_settings(running)))
    assert fault is ActuationFault.UNREACHABLE
    assert "is no heartbeat that can be read" in message
