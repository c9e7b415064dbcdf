"""Two controllers never keep one directory, and a controller that died holds nobody up."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.adapters.nginx import DirectoryLock
from controller.core.errors import ActuationError, ActuationFault
from lab.processes import Child, child

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]

HOLD = """
import sys, signal
from pathlib import Path
from controller.adapters.nginx import DirectoryLock
with DirectoryLock(Path(sys.argv[1])):
    print("kept", flush=True)
    signal.pause()
"""
TAKE_AS = """
import os, sys
from pathlib import Path
from controller.adapters.nginx import DirectoryLock
os.setuid(65534)
with DirectoryLock(Path(sys.argv[1])):
    print(Path(sys.argv[1], ".controller.lock").read_text())
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


@contextmanager
def holder(directory: Path, log: Path) -> Iterator[Child]:
    """Another process that keeps the directory."""
    argv = [sys.executable, "-c", HOLD, str(directory)]
    log.unlink(missing_ok=True)
    with child(argv, log, cwd=ROOT, ready=lambda: "kept" in log.read_text()) as running:
        yield running


def test_second_controller_is_refused(tmp_path: Path) -> None:
    """The second controller of a directory is told the process id of the first, no more."""
    live = tmp_path / "live"
    live.mkdir()
    with holder(live, tmp_path / "log") as first:
        for _ in range(2):
            with pytest.raises(ActuationError) as error, DirectoryLock(live):
                pass
            assert error.value.fault is ActuationFault.UNSAFE
            assert f"another controller (pid {first.pid}) keeps {live}; " in str(error.value)
        assert first.is_running()
        assert (live / ".controller.lock").read_text() == f"{first.pid}\n"


def test_killed_controller_holds_nobody_up(tmp_path: Path) -> None:
    """The lock of a controller that was killed is free at once, though its file is still there."""
    live = tmp_path / "live"
    live.mkdir()
    with holder(live, tmp_path / "log") as first:
        first.signal(signal.SIGKILL)
        first.process.wait(10)
        assert (live / ".controller.lock").read_text() == f"{first.pid}\n"
        with DirectoryLock(live):
            assert (live / ".controller.lock").read_text() == f"{os.getpid()}\n"


def test_lock_is_given_back(tmp_path: Path) -> None:
    """A lock that is closed can be taken again, here and by another process."""
    lock = DirectoryLock(tmp_path)
    for _ in range(2):
        with lock:
            pass
        with holder(tmp_path, tmp_path / "log"):
            pass


def test_programs_that_the_controller_starts_do_not_keep_it(tmp_path: Path) -> None:
    """A child that outlives the controller, as a reload command may, does not hold the lock."""
    with DirectoryLock(tmp_path) as lock, child(["sleep", "60"], tmp_path / "log"):
        lock.close()
        with holder(tmp_path, tmp_path / "holder"):
            pass


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    """A missing directory is named with the reason."""
    with (
        pytest.raises(ActuationError, match=r"gone/\.controller\.lock: No such file") as error,
        DirectoryLock(tmp_path / "gone"),
    ):
        pass
    assert error.value.fault is ActuationFault.UNSAFE


@needs_root
def test_lock_file_of_another_user() -> None:
    """A trial run as root keeps out a later user only while it runs, or where he may not write."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        argv = [sys.executable, "-c", TAKE_AS, name]
        with DirectoryLock(directory):
            pass
        for mode, said in ((0o755, "user 65534 cannot keep"), (0o777, "")):
            directory.chmod(mode)
            done = subprocess.run(
                argv, cwd=ROOT, check=False, timeout=30, capture_output=True, text=True
            )
            assert said in done.stderr
            assert (done.returncode == 0) == (not said)
        with DirectoryLock(directory):
            done = subprocess.run(
                argv, cwd=ROOT, check=False, timeout=30, capture_output=True, text=True
            )
            assert f"another controller (pid {os.getpid()}) keeps" in done.stderr
