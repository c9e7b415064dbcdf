"""The demo on a terminal: bars, a live table, the last events."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lab.demo.view import BackendView, Progress, View, seconds
from lab.demo.watch import TTFT_WINDOW_S

EVENTS = 6
# Title, bars, the table's head, TTFT and the blank rows; a backend has two rows beside these.
ROWS_BESIDE_EVENTS = 14


class Screen:
    """A picture that is drawn anew at each step."""

    def __init__(self, console: Console, seconds: float) -> None:
        self._console = console
        self._seconds = seconds
        self._events: list[str] = []
        self._log: list[str] = []
        # Drawn when told to: a thread that draws would delay the load.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()
        # The picture is gone; what happened stays to be read.
        for line in self._log if error is None else ():
            self._console.print(line, highlight=False, markup=False)

    def show(self, view: View) -> None:
        """Draw the moment."""
        self._live.update(self.picture(view), refresh=True)

    def tell(self, at_s: float, text: str, details: Sequence[str] = ()) -> None:
        """Keep an event in view until newer ones push it out; the end prints them all."""
        self._events.append(f"  {at_s:5.1f} s  {text}")
        self._log += [f"{at_s:5.1f} s  {text}", *(f"         {detail}" for detail in details)]

    def picture(self, view: View) -> RenderableType:
        """The whole picture of a moment."""
        parts: list[RenderableType] = [
            Text(f"{view.at_s:.0f} s of at most {self._seconds:g} s", style="bold"),
            _bars(view, min(40, self._console.width // 3)),
            Text(),
            _table(view),
            *(_line(f"  {each.name}  {each.reason}") for each in view.backends),
            Text(
                f"\n  TTFT of the last {TTFT_WINDOW_S:g} s:  p50 {seconds(view.ttft_p50_s)}"
                f"   p99 {seconds(view.ttft_p99_s)}\n"
            ),
        ]
        # What stands above the events must stay in view on a low terminal.
        room = self._console.height - ROWS_BESIDE_EVENTS - 2 * len(view.backends)
        parts += [_line(event) for event in self._events[-max(1, min(room, EVENTS)) :]]
        return Padding(Group(*parts), (1, 0))


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _bars(view: View, width: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    for each in view.progress:
        now = each.router is view.router
        bar = ProgressBar(total=each.total, completed=each.ended, width=width)
        title = Text(f"{'>' if now else ' '} {each.router.spoken}", style="bold" if now else "")
        grid.add_row(title, bar, _state(each, now=now))
    return grid


def _state(progress: Progress, *, now: bool) -> str:
    if not progress.sent:
        return "starts" if now else "comes later"
    state = f"{progress.ended} of {progress.total}"
    if progress.sent > progress.ended:
        state += f", {progress.sent - progress.ended} in flight"
    return f"{state}, {progress.failed} failed" if progress.failed else state


def _table(view: View) -> Table:
    table = Table(highlight=False)
    # Widths that hold every value, so that nothing moves but the figures.
    table.add_column("", no_wrap=True)
    table.add_column("speed", min_width=len("0.25 throttled"), no_wrap=True)
    for name, width in (("weight", 6), ("running", 7), ("waiting", 7), ("KV", 4), ("served", 6)):
        table.add_column(name, justify="right", min_width=width, no_wrap=True)
    for each in view.backends:
        table.add_row(*_cells(each), style="yellow" if each.throttled else "")
    return table


def _cells(backend: BackendView) -> list[str]:
    kv_usage = "-" if backend.kv_usage is None else f"{backend.kv_usage:.0%}"
    return [
        backend.name,
        f"{backend.speed:g} throttled" if backend.throttled else f"{backend.speed:g}",
        backend.weight,
        "-" if backend.running is None else f"{backend.running:.0f}",
        "-" if backend.waiting is None else f"{backend.waiting:.0f}",
        kv_usage,
        str(backend.served),
    ]
