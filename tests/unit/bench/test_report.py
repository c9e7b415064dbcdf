"""What is made of rows: the report, the page and the plots."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.suite import CONTENDERS, HEADLINE, Cell, Row, evaluate
from bench.suite.expectations import Outcome, judge
from bench.suite.page import page_of
from bench.suite.plots import draw_throttle, draw_ttft
from bench.suite.reading import parse
from bench.suite.report import missed, report_of, to_json
from bench.suite.showing import number, share, spread
from scripts import check_docs
from tests.unit.bench.small import SMALL, figures, row, small_cell

if TYPE_CHECKING:
    from pathlib import Path

    from bench.suite.report import Report

HEAD = {"command": "make bench", "commit": "0123abc", "machine": "2 cores"}
# Without events, so that the cells count as steady ones.
STEADY = SMALL[: SMALL.index("[[events]]")] + SMALL[SMALL.index("[[expect]]") :]


def steady_cells(pool: str = "b") -> list[Cell]:
    """Two cells of a scenario in which nothing happens."""
    scenario = parse(STEADY.replace('"lab"', f'"{pool}"'), "small")
    return [Cell(scenario, 0.5), Cell(scenario, 0.9)]


def rows_of(seconds: dict[tuple[str, str], float]) -> list[Row]:
    """Two seeds by cell and contender, with these times."""
    return [
        row(cell, name, seed, ttft_s) for (cell, name), ttft_s in seconds.items() for seed in (1, 2)
    ]


def a_report() -> Report:
    """Of two cells and three contenders: the headline is twice as fast, then twice as slow."""
    rows = rows_of(
        {
            ("small@0.5", "least_conn"): 4.0,
            ("small@0.5", HEADLINE): 2.0,
            ("small@0.5", "ladder"): 8.0,
            ("small@0.9", "least_conn"): 10.0,
            ("small@0.9", HEADLINE): 20.0,
            ("small@0.9", "ladder"): 40.0,
        }
    )
    return report_of(steady_cells(), rows, {"jsq": "it is not there"}, HEAD)


def test_an_expectation_is_kept_missed_or_unknown() -> None:
    """In each of its cells; a policy that did not run keeps nothing and misses nothing."""
    rows = rows_of(
        {
            ("small@0.5", "least_conn"): 1.0,
            ("small@0.9", "least_conn"): 1.0,
            ("small@0.9", "ladder"): 2.5,
        }
    )
    verdicts = judge([small_cell(0.5), small_cell(0.9)], rows)
    assert [(each.cell, each.outcome, each.value) for each in verdicts] == [
        ("small@0.5", Outcome.KEPT, 0.5),
        ("small@0.9", Outcome.KEPT, 0.5),
        ("small@0.9", Outcome.MISSED, pytest.approx(2.5)),
    ]
    unknown = judge([small_cell(0.9)], rows[:4])[1]
    assert (unknown.outcome, unknown.value) == (Outcome.UNKNOWN, None)


def test_a_report_holds_the_figures_that_are_asked_for() -> None:
    """Ratios both ways, the worst cell of the headline, and what did not run."""
    report = a_report()
    assert report["ratios"][HEADLINE]["least_conn"][0] == pytest.approx(1.0)
    assert report["ratios"]["ladder"][HEADLINE] == [2.828, 2.0, 4.0]
    assert report["ratios"][HEADLINE]["ladder"] == [0.3536, 0.25, 0.5]
    assert report["worst_cell"] == {HEADLINE: {"cell": "small@0.9", "ratio": 2.0}}
    assert report["skipped"] == {"jsq": "it is not there"}
    assert report["expectations"]["counts"] == {"kept": 2, "missed": 1}
    assert [each["cell"] for each in missed(report)] == ["small@0.9"]
    assert report["groups"]["unlike servers, load up to 0.8"]["ratios"][HEADLINE][0] == 0.5
    assert report["groups"]["unlike servers, load above 0.8"]["ratios"][HEADLINE][0] == 2.0
    assert report["cells"]["small@0.5"]["policies"]["ladder"]["ttft_p99_s"] == [8.0, 8.0, 8.0]


def test_overload_is_the_mean_of_cells_from_load_0_8_on() -> None:
    """Cells below, and cells in which something happens, do not count."""
    cells = steady_cells()
    rows = [
        Row(cell.name, "least_conn", seed, figures(goodput=goodput, reloads=4.0 * seed))
        for cell, goodput in zip(cells, (0.9, 0.3), strict=True)
        for seed in (1, 2)
    ]
    report = report_of(cells, rows, {}, HEAD)
    assert report["overload_goodput"] == {"least_conn": 0.3}
    assert report["reloads_per_15min"] == {"least_conn": 6.0}
    eventful = report_of([small_cell(0.9)], rows, {}, HEAD)
    assert eventful["overload_goodput"] == {}


def test_a_request_is_falsely_shed_where_nothing_need_be() -> None:
    """Of what is shed, that of cells that another router serves well is the false part."""
    cells = steady_cells()
    rows = [
        row
        for cell, shed, goodput in zip(cells, (0.01, 0.2), (0.97, 0.4), strict=True)
        for row in (
            Row(cell.name, "capacity_shed", 1, figures(shed=shed, goodput=0.99)),
            Row(cell.name, "jsq", 1, figures(goodput=goodput)),
        )
    ]
    report = report_of(cells, rows, {}, HEAD)
    assert report["false_shed"] == {"capacity_shed": 0.01, "jsq": 0.0}


def test_the_json_is_finite_and_reads_back() -> None:
    """NaN and infinity are refused, and the layout loses nothing."""
    report = a_report()
    assert json.loads(to_json(report)) == report
    cells = steady_cells()[:1]
    with pytest.raises(ArithmeticError, match="finite"):
        report_of(cells, [Row(cells[0].name, "x", 1, figures(goodput=float("inf")))], {}, HEAD)


def test_the_page_shows_losers_and_misses(tmp_path: Path) -> None:
    """The summary comes first, with every policy and every cell, and the page has good form."""
    page = page_of(a_report())
    for text in (
        "| ladder | the controller with the public ladder of KV-cache thresholds | 2.83",
        "Its worst cell against least_conn: small@0.9, 2.00.",
        "| small@0.9 | ttft_p99_s of ladder by that of least_conn within 0..2 | 4.00 |",
        "Not run: jsq, it is not there.",
        "### small\n\nThe faster server gets more.",
    ):
        assert text in page
    assert page.index("## Summary") < page.index("## Cells")
    (tmp_path / "latest.md").write_text(page)
    faults = list(check_docs.faults(tmp_path / "latest.md", {"bench"}))
    assert [fault for fault in faults if "no such file" not in fault] == []


def test_numbers_are_shown_with_the_digits_they_are_worth() -> None:
    """Small ones never become zero, and what is zero says so."""
    assert [number(value) for value in (None, 0.0, 0.00312, 0.25, 3.14159, 31.4159, 3141.59)] == [
        "", "0", "0.0031", "0.25", "3.14", "31.4", "3,142",
    ]  # fmt: skip
    assert [share(value) for value in (None, 0.0, 0.00312, 0.0995, 0.999)] == [
        "", "0", "0.31 %", "10 %", "100 %",
    ]  # fmt: skip
    assert spread([0.5, 0.25, 1.0], shares=True) == "50 % (25 %..100 %)"
    assert spread([1.0, 1.0, 1.0]) == "1.00"


def test_plots_are_the_same_for_the_same_results(tmp_path: Path) -> None:
    """No date, no name by chance; and every policy and cell stands in them as text."""
    cell = small_cell(0.5)
    results = {
        name: cell.play(CONTENDERS[name], cell.workload(1), 1) for name in ("least_conn", "ladder")
    }
    for turn in ("first", "second"):
        draw_ttft(a_report(), tmp_path / f"{turn}-ttft.svg")
        draw_throttle(cell, results, tmp_path / f"{turn}-throttle.svg")
    for plot, texts in (
        ("ttft", (HEADLINE, "ladder", "small@0.9")),
        ("throttle", ("least_conn", "ladder", "server 3")),
    ):
        first = (tmp_path / f"first-{plot}.svg").read_text()
        assert first == (tmp_path / f"second-{plot}.svg").read_text()
        assert all(f">{text}<" in first for text in texts)


def test_a_report_of_runs_is_the_same_again() -> None:
    """The same seeds give the same JSON, on any number of processes."""
    cells = [small_cell(0.5), small_cell(0.9)]
    chosen = [CONTENDERS["least_conn"], CONTENDERS["ladder"]]
    texts = {
        to_json(report_of(cells, evaluate(cells, chosen, processes=processes), {}, HEAD))
        for processes in (1, 2)
    }
    assert len(texts) == 1
