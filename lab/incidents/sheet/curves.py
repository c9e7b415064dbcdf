"""Panels with a time axis: lines, heatmaps, states."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lab.incidents.answers import Answer
from lab.incidents.asking import Series
from lab.incidents.sheet.settings import Panel, colour, defaults, mapped, named, overridden
from lab.incidents.sheet.units import shown

_PALETTE = (
    *("#56a64b", "#f2cc0c", "#3274d9", "#ff780a", "#e02f44", "#1f60c4", "#8f3bb8", "#37872d"),
    *("#8ab8ff", "#b877d9", "#c4162a", "#6ed0e0", "#705da0", "#806eb7"),
)
# Inches, in the type of a legend; more rows than these would leave no plot.
_LETTER_IN, _HANDLE_IN, _NAME_ROW_IN = 0.042, 0.2, 0.09
_NAME_ROWS_MOST = 3


def lines(axes: Axes, panel: Panel, answers: Sequence[Answer]) -> None:
    """A panel of lines; equal names have equal colours, whichever query they come from."""
    config = defaults(panel)
    found = [
        (one, series, named(one.query.legend, series)) for one in answers for series in one.series
    ]
    names = sorted({name for _, _, name in found})
    colours = {name: _PALETTE[index % len(_PALETTE)] for index, name in enumerate(names)}
    told: set[str] = set()
    for answer, series, name in found:
        special = overridden(panel, "byFrameRefID", answer.query.ref_id)
        style = special.get("custom.lineStyle", {}).get("fill", "solid")
        fixed = special.get("color", {}).get("fixedColor")
        hidden = special.get("custom.hideFrom", {}).get("legend", False) or name in told
        if not hidden:
            told.add(name)
        times, values = _with_gaps(series)
        axes.plot(
            times,
            values,
            color=colour(fixed) if fixed else colours[name],
            linestyle="--" if style == "dash" else "-",
            linewidth=0.8,
            label="_" if hidden else name,
        )
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: shown(value, str(config.get("unit", ""))))
    )
    axes.yaxis.set_major_locator(MaxNLocator(4))
    low = config.get("min", 0 if all(min(s.values) >= 0 for _, s, _ in found) else None)
    axes.set_ylim(bottom=low, top=config.get("max"))
    axes.grid(visible=True, linewidth=0.3, color="#dddddd")
    _legend(axes, sorted(told))


def _legend(axes: Axes, names: Sequence[str]) -> None:
    """Names below the plot, which gives way to them."""
    figure = axes.get_figure(root=True)
    if not names or figure is None:
        return
    box = axes.get_position()
    wide_in, high_in = box.width * figure.get_figwidth(), figure.get_figheight()
    columns = max(1, int(wide_in / (_LETTER_IN * max(map(len, names)) + _HANDLE_IN)))
    rows = min(_NAME_ROWS_MOST, -(-len(names) // columns))
    room = rows * _NAME_ROW_IN / high_in
    axes.set_position((box.x0, box.y0 + room, box.width, box.height - room))
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    kept = names[: rows * columns]
    axes.legend(
        [handles[name] for name in kept],
        kept,
        fontsize=5,
        ncol=columns,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, -0.15 / ((box.height - room) * high_in)),
        handlelength=1.2,
        borderpad=0,
        borderaxespad=0,
        labelspacing=0.2,
        columnspacing=0.8,
    )


def heatmap(axes: Axes, panel: Panel, answers: Sequence[Answer]) -> None:
    """A heatmap of the buckets of a histogram: how many a second in each."""
    series = sorted(
        (one for answer in answers for one in answer.series if "le" in one.labels),
        key=lambda one: float(one.labels["le"]),
    )
    times = sorted({at_s for one in series for at_s, _ in one.points})
    places = {at_s: index for index, at_s in enumerate(times)}
    totals = np.zeros((len(series), len(times)))
    for row, one in enumerate(series):
        for at_s, value in one.points:
            totals[row, places[at_s]] = value
    counts = np.diff(totals, axis=0, prepend=0)
    used = [row for row in range(len(series)) if counts[row].max(initial=0) > 0]
    first, last = (min(used), max(used) + 1) if used else (0, len(series))
    counts = np.where(counts > 0, counts, np.nan)[first:last]
    edges = _days([*times, times[-1] + times[1] - times[0]])
    axes.pcolormesh(
        edges,
        range(last - first + 1),
        counts,
        cmap="Oranges",
        norm=LogNorm(vmin=np.nanmin(counts), vmax=np.nanmax(counts)),
        rasterized=True,
    )
    unit = str(panel.get("options", {}).get("yAxis", {}).get("unit", "s"))
    bounds = [float(one.labels["le"]) for one in series[first:last]]
    every = max(1, math.ceil(len(bounds) / 7))
    axes.set_yticks(
        [index + 1 for index in range(len(bounds))][::every],
        ["∞" if math.isinf(bound) else shown(bound, unit) for bound in bounds][::every],
    )


def states(axes: Axes, panel: Panel, answers: Sequence[Answer]) -> None:
    """One row per series, in the colour of its state."""
    mappings = defaults(panel).get("mappings")
    found = [(named(one.query.legend, series), series) for one in answers for series in one.series]
    found.sort(key=lambda pair: pair[0], reverse=True)
    for row, (_, series) in enumerate(found):
        step = series.points[1][0] - series.points[0][0] if len(series.points) > 1 else 60
        began, value = series.points[0]
        points = [*series.points[1:], (series.points[-1][0] + step, math.nan)]
        last = began
        for at_s, following in points:
            if following != value or at_s - last > 1.5 * step:
                text, shade = mapped(mappings, value) or (f"{value:g}", "#8e8e8e")
                start, end = _days([began, min(at_s, last + step)])
                axes.barh(row, end - start, left=start, height=0.8, color=shade)
                if last - began > 8 * step:
                    axes.text(
                        start, row, f" {text}", fontsize=5, va="center", color="white", clip_on=True
                    )
                began, value = at_s, following
            last = at_s
    axes.set_yticks(range(len(found)), [name for name, _ in found])
    axes.set_ylim(-0.6, max(1, len(found)) - 0.4)


def _with_gaps(series: Series) -> tuple[list[float], list[float]]:
    """Times and values, with a break where the series has one."""
    times: list[float] = []
    values: list[float] = []
    step = min(
        (b - a for (a, _), (b, _) in zip(series.points, series.points[1:], strict=False)), default=0
    )
    for at_s, value in series.points:
        if times and at_s - times[-1] > 1.5 * step:
            times.append(times[-1] + step)
            values.append(math.nan)
        times.append(at_s)
        values.append(value)
    return _days(times), values


def _days(times_s: Sequence[float]) -> list[float]:
    # matplotlib counts time in days.
    return [at_s / 86_400 for at_s in times_s]
