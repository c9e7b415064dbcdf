"""What the demo shows while it runs, on a terminal and off it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from lab.demo.lines import Lines
from lab.demo.routers import Router
from lab.demo.screen import Screen
from lab.demo.stage import DemoError, stage
from lab.demo.view import BackendView, Progress, View

REASON = "KV 0.31: 100, one step down for 5 waiting, one step down for 16 running"


def view(at_s: float) -> View:
    """A moment in the controller's turn."""
    backends = [
        BackendView("A", "127.0.0.1:40001", 1.0, 1.0, "100", REASON, 16, 5, 0.31, 120),
        BackendView("B", "127.0.0.1:40002", 0.25, 0.5, "30", REASON, None, None, None, 0),
    ]
    progress = [
        Progress(Router.ROUND_ROBIN, 500, 500, 500),
        Progress(Router.LEAST_CONN, 500, 500, 500, 2),
        Progress(Router.CONTROLLER, 500, 230, 200),
    ]
    return View(at_s, Router.CONTROLLER, progress, backends, 0.05, None)


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_fits_its_terminal(width: int) -> None:
    """Weights, reasons and figures are all there, and no line is longer than the terminal."""
    console = Console(file=io.StringIO(), width=width, height=40, color_system=None)
    with Screen(console, 120) as screen:
        screen.tell(61.0, "weights 100/30, were 100/100")
        console.print(screen.picture(view(62.0)))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for part in ("62 s", "KV 0.31: 100", "0.25 throttled", "31%", "30 in flight", "2 failed"):
        assert part in text
    assert "weights 100/30, were 100/100" in text


def test_plain_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal the present is told every five seconds, however often it is looked at."""
    lines = Lines()
    for step in range(81):
        lines.show(view(step / 4))
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["5.0", "10.0", "15.0", "20.0"]
    assert "weight 100/30 | running 16 - | waiting 5 - | KV % 31 -" in told[0]


def test_an_event_is_told_at_once_with_its_details(capsys: pytest.CaptureFixture[str]) -> None:
    """An event has a line of its own, and each of its details too."""
    Lines().tell(7.25, "weights 100/30, were 100/100", [f"B 100 -> 30: {REASON}"])
    first, second = capsys.readouterr().out.splitlines()
    assert first == "   7.2 s  weights 100/30, were 100/100"
    assert second.strip() == f"B 100 -> 30: {REASON}"


def test_missing_servers_are_named_with_the_way_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without Nginx or Prometheus nothing starts, and the message says how to install them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(DemoError, match=r"make demo.*apt-get install nginx prometheus"),
        stage(tmp_path),
    ):
        pass
