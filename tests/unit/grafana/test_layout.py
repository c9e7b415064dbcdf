"""Panels are numbered and placed without overlaps."""

import pytest

from grafana.layout import Line, Section, place, widths_of
from grafana.sdk import dashboard as sdk


def _panels(count: int) -> list[sdk.Panel]:
    return [sdk.Panel(title=f"panel {index}") for index in range(count)]


@pytest.mark.parametrize("count", range(1, 9))
def test_equal_panels_fill_a_line(count: int) -> None:
    """To the last column, also where 24 is no multiple, and none is wider by more than one."""
    widths = widths_of(Line(8, _panels(count)))
    assert sum(widths) == 24
    assert max(widths) - min(widths) <= 1


@pytest.mark.parametrize("widths", [[12, 13], [24], [8, 8, 8]])
def test_widths_that_do_not_fit_are_refused(widths: list[int]) -> None:
    """Too wide, too few or too many: the line would overflow, or lose a panel."""
    with pytest.raises(ValueError, match="do not fit 24"):
        widths_of(Line(8, _panels(2), widths))


def test_lines_stand_below_each_other_under_their_heading() -> None:
    """Each begins where the one above it ends, and numbers run through."""
    sections = [
        Section("one", [Line(4, _panels(2)), Line(8, _panels(1), [10])]),
        Section("two", [Line(5, _panels(1))]),
    ]
    placed = place(sections)
    assert [panel.id_val for panel in placed] == [1, 2, 3, 4, 5, 6]
    spots = [panel.grid_pos for panel in placed if panel.grid_pos is not None]
    assert [(spot.x, spot.y, spot.w, spot.h) for spot in spots] == [
        (0, 0, 24, 1),
        (0, 1, 12, 4),
        (12, 1, 12, 4),
        (0, 5, 10, 8),
        (0, 13, 24, 1),
        (0, 14, 24, 5),
    ]
