"""A dashboard as one picture: its panels in their grid, below what was done to the fleet."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from bench.drawing import STYLE
from grafana.queries import panels
from lab.incidents.answers import STEP_S, Answer
from lab.incidents.rules import runs
from lab.incidents.sheet.curves import heatmap, lines, states
from lab.incidents.sheet.texts import figures, table
from lab.incidents.timetable import INCIDENTS, MINUTES, START_S

_DAY_S = 86_400
# Inches: of the whole width, of one row of the grid, of what stands above the grid.
_WIDTH, _ROW, _HEAD = 15.0, 0.27, 1.85
_COLUMNS = 24
_DPI = 96
# Enough for lines and letters; fewer bytes for whoever reads this over a slow line.
_COLOURS = 96
_SPANS = {"Reload failed": "#e02f44", "Fail-safe": "#e0b400"}
_DRAWN = {"timeseries": lines, "heatmap": heatmap, "state-timeline": states}
_WRITTEN = {"stat": figures, "table": table}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture in the making.

    Attributes:
        figure: It.
        height: Inches.
        marks: What is marked in every plot: start and end in days, and the colour.
    """

    figure: Figure
    height: float
    marks: Sequence[tuple[float, float, str]]

    def text(self, left: float, down_in: float, words: str, size: float, **more: Any) -> None:  # noqa: ANN401 - matplotlib's own
        """Write something, so many inches below the upper edge."""
        more = {"va": "center", "weight": "bold"} | more
        self.figure.text(left, 1 - down_in / self.height, words, fontsize=size, **more)

    def axes(self, left: float, down_in: float, width: float, tall_in: float) -> Axes:
        """Axes whose upper edge is so many inches below that of the picture."""
        bottom = 1 - (down_in + tall_in) / self.height
        return self.figure.add_axes((left, bottom, width, tall_in / self.height))


def draw(
    board: Mapping[str, Any], answers: Sequence[Answer], path: Path, *, chosen: str = ""
) -> None:
    """Write the picture of a dashboard.

    Args:
        board: The dashboard.
        answers: What its queries were answered.
        path: The PNG.
        chosen: What is chosen at its top, for a person; "" for everything.
    """
    shown = [one for one in panels(board) if one["type"] in {"row", *_DRAWN, *_WRITTEN}]
    rows = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in shown)
    height = _HEAD + rows * _ROW + 0.05
    with rc_context({**STYLE, "font.size": 6, "axes.linewidth": 0.5}):
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
        sheet = Sheet(figure, height, list(_marks(answers)))
        sheet.text(0.008, 0.22, f"{board['title']}{': ' if chosen else ''}{chosen}", 13)
        told = "drawn by this project from simulated data, no screenshot of Grafana"
        sheet.text(0.992, 0.22, told, 8, color="#666666", ha="right", weight="normal")
        _incidents(sheet)
        for panel in shown:
            _panel(sheet, panel, [a for a in answers if a.query.panel_id == panel["id"]])
        _write(figure, path)


def _panel(sheet: Sheet, panel: Mapping[str, Any], answers: Sequence[Answer]) -> None:
    grid, kind = panel["gridPos"], panel["type"]
    left, width = grid["x"] / _COLUMNS, grid["w"] / _COLUMNS
    down, tall = _HEAD + grid["y"] * _ROW, grid["h"] * _ROW
    if kind == "row":
        sheet.text(left + 0.008, down + tall / 2, panel["title"], 9)
        return
    frame = sheet.axes(left + 0.002, down + 0.02, width - 0.004, tall - 0.04)
    frame.set(xticks=[], yticks=[])
    for spine in frame.spines.values():
        spine.set(visible=True, color="#d8d8d8")
    sheet.text(left + 0.008, down + 0.14, panel["title"], 7)
    written = kind in _WRITTEN
    # States are named at the left, where a plot has its figures.
    margin = 0.085 if kind == "state-timeline" else 0.012 if written else 0.034
    foot = 0.06 if written else 0.24
    axes = sheet.axes(left + margin, down + 0.27, width - margin - 0.01, tall - foot - 0.27)
    {**_DRAWN, **_WRITTEN}[kind](axes, panel, answers)
    if written:
        return
    _time(axes)
    if kind == "timeseries":
        for start, end, shade in sheet.marks:
            if start == end:
                axes.axvline(start, color=shade, linewidth=0.4, linestyle=":", zorder=0)
            else:
                axes.axvspan(start, end, color=shade, alpha=0.08, linewidth=0, zorder=0)


def _marks(answers: Sequence[Answer]) -> Iterator[tuple[float, float, str]]:
    """What the annotations mark: changes of weights, and times of failed reloads or fail-safe."""
    for one in answers:
        if one.query.panel_title == "Weights changed":
            moments = {value / 1000 for series in one.series for value in series.values}
            yield from ((at_s / _DAY_S, at_s / _DAY_S, "#3274d9") for at_s in sorted(moments))
        elif one.query.panel_title in _SPANS:
            times = {at_s for series in one.series for at_s, _ in series.points}
            shade = _SPANS[one.query.panel_title]
            for run in runs(sorted(times), STEP_S):
                yield run[0] / _DAY_S, run[-1] / _DAY_S, shade


def _incidents(sheet: Sheet) -> None:
    """What was done to the fleet: bars in two rows, since two pools have troubles of their own."""
    sheet.text(0.008, 0.52, "What was done to the fleet (no panel of the dashboard)", 7)
    axes = sheet.axes(0.087, 0.66, 0.903, 0.95)
    for incident in INCIDENTS.values():
        row = 0 if incident.pool == "qwen" else 1
        start = incident.start_s() / _DAY_S
        length = incident.end_s() / _DAY_S - start
        axes.barh(row, length, left=start, height=0.72, color="#f6d5a8" if row else "#cfe0f5")
        axes.text(start + length / 2, row, incident.name, fontsize=6.5, ha="center", va="center")
    axes.set_yticks([0, 1], ["pool qwen (SGLang)", "pool llm (vLLM), all"])
    _time(axes)


def _time(axes: Axes) -> None:
    axes.set_xlim(START_S / _DAY_S, (START_S + 60 * MINUTES) / _DAY_S)
    moments = [START_S + 60 * minute for minute in range(0, MINUTES + 1, 30)]
    names = [f"{datetime.fromtimestamp(at_s, UTC):%H:%M}" for at_s in moments]
    axes.set_xticks([at_s / _DAY_S for at_s in moments], names)
    axes.tick_params(labelsize=5.5, length=2, width=0.4, pad=1.5)


def _write(figure: Figure, path: Path) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(drawn).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
