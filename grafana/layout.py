"""Where panels stand: lines of a given height, filled from left to right, under a heading.

The SDK places panels by itself, but lets a line grow beyond the width of the grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from grafana.sdk import dashboard as sdk

GRID_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Line:
    """Panels beside each other.

    Attributes:
        height: In units of the grid, of 30 pixels or so.
        panels: From left to right.
        widths: In units of the grid; equal ones when empty.
    """

    height: int
    panels: Sequence[sdk.Panel]
    widths: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with lines under it."""

    title: str
    lines: Sequence[Line]


def widths_of(line: Line) -> Sequence[int]:
    """Widths that fill the grid, or those that were asked for if they fit.

    Raises:
        ValueError: They are too few, too many, or wider than the grid.
    """
    panels = len(line.panels)
    share, rest = divmod(GRID_WIDTH, panels)
    widths = line.widths or [share + (index < rest) for index in range(panels)]
    if len(widths) != panels or sum(widths) > GRID_WIDTH:
        titles = [panel.title for panel in line.panels]
        raise ValueError(f"{titles}: widths {list(widths)} do not fit {GRID_WIDTH}")
    return widths


def place(sections: Sequence[Section]) -> list[sdk.Panel | sdk.RowPanel]:
    """All panels with a number and a place, no two in one."""
    numbers = count(1)
    placed: list[sdk.Panel | sdk.RowPanel] = []
    y = 0
    for section in sections:
        heading = sdk.GridPos(h=1, w=GRID_WIDTH, x=0, y=y)
        placed.append(sdk.RowPanel(title=section.title, id_val=next(numbers), grid_pos=heading))
        y += 1
        for line in section.lines:
            x = 0
            for panel, width in zip(line.panels, widths_of(line), strict=True):
                panel.id_val = next(numbers)
                panel.grid_pos = sdk.GridPos(h=line.height, w=width, x=x, y=y)
                placed.append(panel)
                x += width
            y += line.height
    return placed
