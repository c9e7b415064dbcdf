"""Panels of words and numbers: single figures and tables, as they stand at the end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from lab.incidents.answers import Answer
from lab.incidents.sheet.settings import (
    Panel,
    colour,
    defaults,
    mapped,
    named,
    overridden,
    threshold,
)
from lab.incidents.sheet.units import shown

# More characters than these do not fit into a cell.
_CELL_MOST = 26
_MOMENT_S = 60


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    shade: str


def figures(axes: Axes, panel: Panel, answers: Sequence[Answer]) -> None:
    """The last values in large type, with their names where there are several."""
    axes.axis("off")
    config = defaults(panel)
    unit = str(config.get("unit", ""))
    found = [
        (named(one.query.legend, series), series.points[-1][1])
        for one in answers
        for series in one.series
    ]
    for index, (name, value) in enumerate(found):
        said = mapped(config.get("mappings"), value)
        text, shade = said or (shown(value, unit), threshold(config.get("thresholds"), value))
        middle = (index + 0.5) / len(found)
        axes.text(
            middle, 0.42, text, fontsize=13, ha="center", va="center", color=shade, weight="bold"
        )
        if len(found) > 1 or said is None:
            axes.text(
                middle,
                0.0,
                name[:_CELL_MOST],
                fontsize=6,
                ha="center",
                va="center",
                color="#666666",
            )


def table(axes: Axes, panel: Panel, answers: Sequence[Answer]) -> None:
    """Rows by what the answers have in common, columns as the panel orders them."""
    axes.axis("off")
    end_s = max((at_s for one in answers for s in one.series for at_s, _ in s.points), default=0.0)
    columns = list(_columns(panel))
    rows = list(_rows(answers, end_s))
    cells = [[_cell(panel, row, column, end_s) for column in columns] for row in rows]
    if not cells:
        axes.text(0.5, 0.5, defaults(panel).get("noValue", "No data"), fontsize=7, ha="center")
        return
    heads = [str(overridden(panel, "byName", one).get("displayName", one)) for one in columns]
    widths = [
        max(len(heads[index]), *(len(row[index].text) for row in cells)) + 2
        for index in range(len(columns))
    ]
    room = max(len(cells), 6) + 1
    for index, head in enumerate(heads):
        left = sum(widths[:index]) / sum(widths)
        axes.text(left, 1 - 0.5 / room, head, fontsize=6, weight="bold", va="center")
        for number, row in enumerate(cells, start=1):
            height = 1 - (number + 0.5) / room
            axes.text(
                left, height, row[index].text, fontsize=6, va="center", color=row[index].shade
            )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _columns(panel: Panel) -> Iterator[str]:
    """Fields in their order, those left out that the panel hides."""
    for one in panel.get("transformations", ()):
        if one["id"] == "organize":
            order: Mapping[str, int] = one["options"].get("indexByName", {})
            hidden = one["options"].get("excludeByName", {})
            yield from (
                name for name in sorted(order, key=lambda each: order[each]) if not hidden.get(name)
            )


def _rows(answers: Sequence[Answer], end_s: float) -> Iterator[Mapping[str, str | float]]:
    """What all answers say of one thing, merged; of those series that still have a value."""
    now = [(one, s) for one in answers for s in one.series if s.points[-1][0] > end_s - _MOMENT_S]
    if not now:
        return
    shared = set.intersection(*(set(series.labels) - {"__name__"} for _, series in now))
    merged: dict[tuple[str, ...], dict[str, str | float]] = {}
    for answer, series in now:
        key = tuple(series.labels[label] for label in sorted(shared))
        row = merged.setdefault(key, {})
        row |= {k: v for k, v in series.labels.items() if k != "__name__"}
        field = "Value" if len(answers) == 1 else f"Value #{answer.query.ref_id}"
        row[field] = series.points[-1][1]
    yield from (merged[key] for key in sorted(merged))


def _cell(panel: Panel, row: Mapping[str, str | float], column: str, end_s: float) -> _Cell:
    value = row.get(column, "-")
    special = overridden(panel, "byName", column)
    said = mapped(special.get("mappings"), value)
    if said:
        return _Cell(*said)
    if isinstance(value, str):
        return _Cell(value[:_CELL_MOST], colour("text"))
    unit = str(special.get("unit", defaults(panel).get("unit", "")))
    return _Cell(shown(value, unit, now_s=end_s), threshold(special.get("thresholds"), value))
