"""A run of tests in containers that is told to end takes down what it brought up."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from lab.processes import await_true

ROOT = Path(__file__).resolve().parents[3]
CONFTEST = "from tests.stack.conftest import ends_in_order\n"
TEST = """
import pathlib, time, pytest

@pytest.fixture(scope="session")
def brought_up(ends_in_order):
    yield
    pathlib.Path("ending").touch()
    while not pathlib.Path("go-on").exists():
        time.sleep(0.02)
    pathlib.Path("down").touch()

def test_something_long(brought_up):
    pathlib.Path("up").touch()
    time.sleep(60)
"""


def test_sigterm_takes_down_what_is_up(tmp_path: Path) -> None:
    """Fixtures end in order, and a second signal meanwhile does not keep them from it."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TEST)
    # As it is, since the run of these tests may have handlers of its own.
    argv = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", "."]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            await_true((tmp_path / "up").exists, 60, "the test runs")
            running.send_signal(signal.SIGTERM)
            await_true((tmp_path / "ending").exists, 20, "the fixture ends")
            running.send_signal(signal.SIGTERM)
            (tmp_path / "go-on").touch()
            said, _ = running.communicate(timeout=20)
        finally:
            running.kill()
    assert (tmp_path / "down").exists(), said
    # pytest's code for a run that was interrupted.
    assert running.returncode == 2, said
