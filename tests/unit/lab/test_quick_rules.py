"""Rules at the pace of a test."""

from pathlib import Path

import pytest
import yaml

from lab.quick_rules import divided, quick_rules, quickened

SOURCE = """
groups:
  - name: one
    interval: 15s
    rules:
      - record: a:b:c
        expr: rate(x[5m])
      - alert: A
        expr: y > 300
        for: 5m
        keep_firing_for: 1h30m
        labels: {severity: warning}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5m", "5000ms"), ("1h30m", "90000ms"), ("1d", "1440000ms"), ("15s", "250ms"), ("0s", "0s")],
)
def test_duration_is_divided(text: str, expected: str) -> None:
    """Every unit, and several of them together, are divided alike."""
    assert divided(text, 60, 0.0) == expected


def test_nothing_is_shorter_than_what_holds_two_scrapes() -> None:
    """A range that would hold too few samples for a rate is made longer."""
    assert divided("1m", 60, 4.0) == "4000ms"


def test_ranges_and_steps_of_an_expression_are_divided() -> None:
    """Brackets with and without a step are divided; numbers and names stay."""
    expression = "max_over_time(a:rate5m[1d:5m]) + rate(c[10m]) > 300 and d[1h:]"
    assert quickened(expression, 60, 4.0) == (
        "max_over_time(a:rate5m[1440000ms:5000ms]) + rate(c[10000ms]) > 300 and d[60000ms:]"
    )


def test_rules_keep_all_but_their_durations(tmp_path: Path) -> None:
    """Names, labels and thresholds are those of the source."""
    source = tmp_path / "source.yml"
    source.write_text(SOURCE)
    made = yaml.safe_load(quick_rules(source, tmp_path / "quick.yml", 60).read_text())
    assert made == {
        "groups": [
            {
                "name": "one",
                "interval": "1s",
                "rules": [
                    {"record": "a:b:c", "expr": "rate(x[5000ms])"},
                    {
                        "alert": "A",
                        "expr": "y > 300",
                        "for": "5000ms",
                        "keep_firing_for": "90000ms",
                        "labels": {"severity": "warning"},
                    },
                ],
            }
        ]
    }
