"""Means, ratios and their ranges, on rows made by hand."""

from __future__ import annotations

import math

import pytest

from bench.suite import mean_of, ratios_of
from bench.suite.estimates import cell_ratio, logs_of
from tests.unit.bench.small import row

FIGURE = "ttft_p99_s"


def test_a_time_has_a_geometric_mean_and_a_range_of_factors() -> None:
    """Of 1, 2 and 4 s it is 2 s, and the range is Student's on the logarithms."""
    found = mean_of(FIGURE, [1.0, 2.0, 4.0])
    assert found is not None
    assert found.mean == pytest.approx(2.0)
    factor = math.exp(4.303 * math.log(2) / math.sqrt(3))
    assert (found.low, found.high) == pytest.approx((2 / factor, 2 * factor))


def test_a_share_has_an_arithmetic_mean_and_stays_a_share() -> None:
    """The range is Student's, and ends at 0 and 1."""
    found = mean_of("goodput", [0.90, 0.92, 0.94])
    assert found is not None
    half = 4.303 * 0.02 / math.sqrt(3)
    assert (found.mean, found.low, found.high) == pytest.approx((0.92, 0.92 - half, 0.92 + half))
    wide = mean_of("goodput", [0.0, 1.0])
    assert wide is not None
    assert (wide.low, wide.high) == (0.0, 1.0)


def test_what_is_not_known_is_left_out() -> None:
    """One value has no range, and none has no mean."""
    one = mean_of(FIGURE, [None, 3.0])
    assert one is not None
    assert (one.low, one.mean, one.high) == pytest.approx((3.0, 3.0, 3.0))
    assert mean_of(FIGURE, [None, None]) is None


def test_near_zero_values_give_a_finite_ratio() -> None:
    """A time below a millisecond counts as one, so two such times are equal."""
    rows = [row("c", "x", 1, 0.0), row("c", "y", 1, 1e-9), row("c", "z", 1, 1.0)]
    logs = logs_of(rows, FIGURE)
    assert cell_ratio(logs, "c", "x", "y") == 1.0
    assert cell_ratio(logs, "c", "z", "x") == pytest.approx(1000.0)
    assert cell_ratio(logs, "c", "x", "nobody") is None


def test_ratios_are_geometric_means_of_cells_that_count_once() -> None:
    """A cell with a ratio of 4 in three seeds and one with a ratio of 1 in one seed make 2."""
    rows = [row("c", name, seed, t) for seed in (1, 2, 3) for name, t in (("x", 4.0), ("y", 1.0))]
    rows += [row("d", name, 1, 7.0) for name in ("x", "y")]
    found = ratios_of(rows, FIGURE).by_pair
    assert found["x"]["y"].mean == pytest.approx(2.0)
    assert found["y"]["x"].mean == pytest.approx(0.5)
    assert found["x"]["y"].low == pytest.approx(1.0)
    assert found["x"]["y"].high == pytest.approx(4.0)
    assert found["y"]["x"].low == pytest.approx(1 / found["x"]["y"].high)


def test_equal_ratios_leave_nothing_to_chance() -> None:
    """Seeds that differ by factors of ten, but alike for both, make no range."""
    rows = [
        row(cell, name, seed, factor * 10.0**seed)
        for cell in "cde"
        for seed in (1, 2, 3)
        for name, factor in (("x", 3.0), ("y", 1.0))
    ]
    found = ratios_of(rows, FIGURE).by_pair["x"]["y"]
    assert (found.low, found.mean, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_a_cell_in_which_somebody_has_no_figure_counts_for_nobody() -> None:
    """It is named, so that it is not lost in silence."""
    rows = [row("c", "x", 1, 2.0), row("c", "y", 1, 1.0), row("d", "x", 1, 9.0)]
    rows.append(row("d", "y", 1, None))
    found = ratios_of(rows, FIGURE)
    assert (found.cells, found.left_out) == (("c",), ("d",))
    assert found.by_pair["x"]["y"].mean == pytest.approx(2.0)
