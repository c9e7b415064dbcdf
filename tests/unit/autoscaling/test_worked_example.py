"""The worked example of docs/autoscaling.md follows from its formulas, and the rules agree."""

import math
from typing import Any

import pytest
import yaml

from tests.unit.autoscaling.manifests import ROOT

PAGE = (ROOT / "docs" / "autoscaling.md").read_text()
TESTS = yaml.safe_load((ROOT / "rules" / "tests" / "autoscaling.yml").read_text())["tests"]
BACKENDS, SLOTS, TOKENS_PER_S, K, TARGET = 4, 100, 2000.0, 2.0, 0.7


def table() -> dict[str, dict[str, float]]:
    """The numbers of the page by column and row."""
    lines = PAGE.split("### A worked example")[1].split("\n#")[0].splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    return {
        column: {row[0]: float(row[index]) for row in rows[2:]}
        for index, column in enumerate(rows[0])
        if index
    }


HOURS = table()


def tokens_per_s(sequences: float) -> float:
    """X(n) of one backend."""
    share = sequences / SLOTS
    return TOKENS_PER_S * share * (1 + K) / (1 + K * share)


@pytest.mark.parametrize("hour", HOURS)
def test_the_example_follows_from_the_formulas(hour: str) -> None:
    """What runs, waits and was turned away gives every other number of the table."""
    said = HOURS[hour]
    running, waiting = said["running"], said["waiting"]
    turned_away = 0.2 if hour == "a fifth turned away" else 0.0
    made = BACKENDS * tokens_per_s(running / BACKENDS)
    demand = (running + waiting) / (1 - turned_away)
    load = demand * made / running / (BACKENDS * TOKENS_PER_S)
    saturation = max(demand / (BACKENDS * SLOTS), turned_away and 1 / (1 - turned_away))
    assert said["tokens per second"] == pytest.approx(made, abs=0.5)
    assert said["pool:demand_requests:avg2m"] == pytest.approx(demand)
    assert said["pool:saturation:ratio"] == pytest.approx(saturation, abs=5e-4)
    assert said["pool:load:ratio"] == pytest.approx(load, abs=5e-4)
    needed = math.ceil(max(load, saturation) * BACKENDS / TARGET)
    assert said["pool:backends_needed:count"] == needed


@pytest.mark.parametrize("hour", HOURS)
def test_promtool_checks_the_numbers_of_the_page(hour: str) -> None:
    """Each recording of the table has the same value in the tests of the rules."""
    (test,) = [each for each in TESTS if each["name"].startswith(f"the worked example, {hour}; ")]
    checked = dict(map(_expectation, test["promql_expr_test"]))
    recorded = {name: value for name, value in HOURS[hour].items() if ":" in name}
    assert recorded.items() <= checked.items()


def _expectation(check: dict[str, Any]) -> tuple[str, float]:
    """The recording that promtool asks for, and what it has to be."""
    name = check["expr"].removeprefix("round(").split("{")[0]
    (sample,) = check["exp_samples"]
    return name, float(sample["value"])


def test_sequences_alone_would_take_away_too_many() -> None:
    """What the page says of half the pool at 0.35 of its slots: 24 % too much for what is left."""
    made = BACKENDS * tokens_per_s(0.35 * SLOTS)
    assert math.ceil(BACKENDS * 0.35 / TARGET) == BACKENDS // 2
    assert made / (BACKENDS // 2) == pytest.approx(2470, abs=1)
    assert made / (BACKENDS // 2 * TOKENS_PER_S) == pytest.approx(1.24, abs=0.005)
