"""Scenario files: the shipped ones, and what is said of faulty ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from bench.suite import HEADLINE, cells_of, load_all
from bench.suite.reading import parse
from controller.core.errors import ConfigError
from scripts.check_docs import ROOT
from simulator.fleet.events import Die, Recover, SetSpeed
from tests.unit.bench.small import SMALL, small_cell

if TYPE_CHECKING:
    from pathlib import Path

    from bench.suite.scenario import Scenario

SCENARIOS = load_all()


def faults_of(text: str) -> list[str]:
    """What is said of a faulty file."""
    with pytest.raises(ConfigError) as found:
        parse(text, "small")
    return list(found.value.faults)


def test_the_suite_covers_pools_traces_loads_and_events() -> None:
    """At least 39 cells: three pools by three traces up to overload, and all that can happen."""
    loads = {
        (each.pool, each.trace): each.loads
        for each in SCENARIOS
        if not each.events and each.burst is None and each.arrivals == "merged"
    }
    for pool in "abg":
        for trace in ("azure_conv", "azure_code", "mooncake"):
            assert (min(loads[pool, trace]), max(loads[pool, trace])) == (0.5, 1.1)
    kinds = {event.kind for each in SCENARIOS for event in each.events}
    illnesses = {"die", "black_hole", "freeze", "recover"}
    assert kinds == {"speed", "kv_blocks", "join", "rolling_restart"} | illnesses
    assert len(cells_of(SCENARIOS)) >= 39
    assert 5 <= len(cells_of(SCENARIOS, quick=True)) <= 15


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_every_claim_has_an_expectation_of_the_headline_policy(scenario: Scenario) -> None:
    """What a scenario claims stands for a range in each of its cells."""
    for load in scenario.loads:
        assert [
            each
            for each in scenario.expect
            if each.policy == HEADLINE and (not each.loads or load in each.loads)
        ]


def test_a_scenario_becomes_cells_with_events() -> None:
    """One cell per load, fewer in the quick suite; a rolling restart is deaths and returns."""
    restart = """
[[events]]
kind = "rolling_restart"
at_s = 10.0
servers = [2, 1]
down_s = 5.0
gap_s = 20.0
"""
    scenario = parse(SMALL + restart, "small")
    assert [cell.name for cell in cells_of([scenario])] == ["small@0.5", "small@0.9"]
    (quick,) = cells_of([scenario], quick=True)
    assert quick.events == (
        SetSpeed(60.0, 0, 0.5),
        Die(10.0, 2),
        Recover(15.0, 2),
        Die(35.0, 1),
        Recover(40.0, 1),
    )


def test_a_load_is_a_share_of_what_the_pool_carries() -> None:
    """Twice the load is twice the requests; the most is what sixteen sequences per server do."""
    half, more = small_cell(0.5), small_cell(1.0)
    assert more.rate == pytest.approx(2 * half.rate)
    assert more.rate == pytest.approx(2.75 * 16 / (128 * 0.028), rel=0.1)
    assert len(half.workload(1)) == pytest.approx(half.rate * 120.0, rel=0.15)


def test_all_faults_of_a_file_are_told_at_once() -> None:
    """Strange keys, wrong values, and parts that do not fit each other, each with its place."""
    text = SMALL
    for right, wrong in (
        ('name = "small"', 'name = "big"\ncolour = "red"'),
        ('claim = "The faster server gets more."', 'claim = "fast"'),
        ('trace = "uniform_128"', 'trace = "diary"'),
        ("quick_loads = [0.5]", "quick_loads = [0.7]"),
        ("warmup_s = 20.0", "warmup_s = 120.0"),
        ("at_s = 60.0\nserver = 0\nspeed = 0.5", "at_s = 500.0\nserver = 4\nspeed = 0.0"),
        ("low = 0.1\nhigh = 1.0", "low = 0.9\nhigh = 0.1"),
        ('policy = "ladder"', 'policy = "snake"'),
        ("loads = [0.9]", "loads = [0.8]"),
    ):
        assert right in text
        text = text.replace(right, wrong)
    faults = faults_of(text)
    places = [fault.split(": ")[1] for fault in faults]
    assert sorted(places) == sorted(
        [
            "name",
            "colour",
            "claim",
            "trace",
            "quick_loads",
            "warmup_s",
            "events[0].at_s",
            "events[0].server",
            "events[0].speed",
            "expect[0].high",
            "expect[1].policy",
            "expect[1].loads",
        ]
    )
    assert "small: events[0].server: expected a server of the pool, 0 to 3, got 4" in faults
    assert "small: expect[0].high: expected at least low, 0.9, got 0.1" in faults
    assert all(re.search(r", got .", fault) for fault in faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", "not TOML"),
        (SMALL[: SMALL.index("[[expect]]")], "small: expect: is missing"),
        (SMALL.replace("[1, 2]", "[1, 1]"), "small: seeds: expected each value once, got [1, 1]"),
        (SMALL.replace('"lab"', '"pond"'), "small: pool: expected one of a, a8, b, g, lab"),
        (
            SMALL.replace('kind = "speed"', 'kind = "rain"'),
            "events[0]: kind: expected one of",
        ),
        (SMALL.replace("= 0.5\n\n[[exp", "= nan\n\n[[exp"), "small: events[0].speed: expected"),
    ],
    ids=["no TOML", "no expectation", "a seed twice", "a pool", "an event", "NaN"],
)
def test_a_fault_says_what_and_where(text: str, fault: str) -> None:
    """The file, the place in it, and what was expected there."""
    (said,) = faults_of(text)
    assert fault in said


def test_the_faults_of_all_files_are_told(tmp_path: Path) -> None:
    """One faulty file does not hide another, and the good one is no fault."""
    for name, text in {"good": SMALL, "bad": "seeds = 1", "ugly": "=", "odd": SMALL}.items():
        (tmp_path / f"{name}.toml").write_text(text.replace('"small"', f'"{name[:4]}"'))
    (tmp_path / "odd.toml").write_text(SMALL)
    with pytest.raises(ConfigError) as found:
        load_all(tmp_path)
    assert {fault.split(":")[0] for fault in found.value.faults} == {"bad", "odd", "ugly"}


def test_the_scenario_of_the_page_is_a_scenario() -> None:
    """What docs/benchmarks.md shows can be used as it stands."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert parse(text, "throttle-b").recovery_from_s == 300.0
