"""The demo as a stranger runs it: a child process, without a terminal."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.demo.alarm import STEP_S
from lab.processes import Child, await_true, child

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
# Long enough for weights to change in the controller's turn.
SECONDS = 75
FIELDS = {
    "requests",
    "failed",
    "ttft_p50_s",
    "ttft_p99_s",
    "e2e_p99_s",
    "output_tokens_per_s",
}
# After a signal everything has ended within this time.
END_S = 30.0


def processes_of(directory: Path) -> dict[int, str]:
    """Command lines, by process id, of all processes that mention the directory."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(directory) in command:
                found[int(entry.parent.name)] = command
    return found


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo puts its temporary files; the test looks whether any stay."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    return directory


@contextlib.contextmanager
def demo(tmp_path: Path, temporary: Path) -> Iterator[Child]:
    """A demo whose output goes to a file."""
    environment = {
        "DEMO_SECONDS": str(SECONDS),
        "DEMO_POLICY": "ladder",
        "TMPDIR": str(temporary),
    }
    argv = [sys.executable, "-m", "lab.demo"]
    with child(argv, tmp_path / "demo.out", cwd=ROOT, env=environment) as running:
        yield running


def await_output(running: Child, text: str) -> None:
    """Wait until the demo has printed the text."""
    running.await_ready(lambda: text in running.log.read_text(), SECONDS)


def assert_nothing_left(temporary: Path) -> None:
    """No process and no file of the demo is there any more."""
    await_true(lambda: not processes_of(temporary), 20.0, "no process of the demo")
    assert list(temporary.iterdir()) == []


def test_a_demo_ends_by_itself_with_a_result(tmp_path: Path, temporary: Path) -> None:
    """Off a terminal it ends in time with exit code 0, a full result and nothing left behind."""
    with demo(tmp_path, temporary) as running:
        # The turns end in their time; the three steps behind them may each take theirs.
        assert running.process.wait(SECONDS + 4 * STEP_S) == 0, running.tail()
    lines = running.log.read_text().splitlines()
    result = json.loads(lines[-1])
    reloads, told = result.pop("reloads"), result.pop("notification")
    assert list(result) == ["round_robin", "least_conn", "controller"]
    for figures in result.values():
        assert set(figures) == FIELDS
        # A machine that does not keep pace has its turns cut, and is told so.
        assert figures["failed"] == 0 or "out of time" in running.log.read_text()
        assert figures["requests"] == result["round_robin"]["requests"] > 100
        assert 0 < figures["ttft_p50_s"] <= figures["ttft_p99_s"] <= figures["e2e_p99_s"]
        assert figures["output_tokens_per_s"] > 0
    assert reloads >= 1
    assert told["alert"] == "BackendStalled"
    assert all(told[name] > 0 for name in ("out_s", "told_s", "resolved_s"))
    events = [line.partition(" s  ")[2] for line in lines]
    assert sum(event.startswith("throttle C") for event in events) == 3
    # The last reload may come after the last look.
    assert 1 <= sum(event.startswith("weights ") for event in events) <= reloads
    assert_nothing_left(temporary)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, temporary: Path, number: signal.Signals, code: int
) -> None:
    """Ctrl-C or a termination in the middle ends everything at once, with the signal's code."""
    with demo(tmp_path, temporary) as running:
        await_output(running, "throttle C")
        assert len(processes_of(temporary)) >= 6
        running.signal(number)
        # The terminal sends Ctrl-C as often as the user is impatient.
        running.signal(number)
        assert running.process.wait(END_S) == code
        assert "everything that was started has ended" in running.tail()
        assert_nothing_left(temporary)


def test_a_server_that_dies_ends_the_demo_with_its_log(tmp_path: Path, temporary: Path) -> None:
    """When Prometheus is killed the demo says so, exits with 1 and tidies up."""
    with demo(tmp_path, temporary) as running:
        await_output(running, "round robin")
        servers = processes_of(temporary).items()
        pid = next(pid for pid, argv in servers if argv.startswith("prometheus "))
        os.kill(pid, signal.SIGKILL)
        assert running.process.wait(END_S) == 1
        assert "prometheus ended in the middle of the demo" in running.tail()
        assert_nothing_left(temporary)
