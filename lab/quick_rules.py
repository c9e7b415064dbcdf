"""Rules at the pace of a test: every duration in them divided by the same number.

What is divided: `for`, `keep_firing_for`, the interval of groups, and ranges and steps in brackets,
such as [5m] and [1d:5m]. Nothing becomes shorter than the shortest that still holds two scrapes.
What is not: numbers in an expression, such as `time() - x > 300` or a count within a window.
"""

import re
from pathlib import Path
from typing import Any

import yaml

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+)(ms|[smhdw])")
_RANGE = re.compile(r"\[([0-9a-z]+)(?::([0-9a-z]*))?\]")


def divided(text: str, by: float, shortest_s: float) -> str:
    """A duration as Prometheus writes it, divided; zero stays zero."""
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
    if seconds == 0:
        return "0s"
    return f"{round(1000 * max(seconds / by, shortest_s))}ms"


def quickened(expression: str, by: float, shortest_s: float) -> str:
    """An expression whose ranges and steps of subqueries are divided."""

    def shorter(found: re.Match[str]) -> str:
        length = divided(found[1], by, shortest_s)
        if found[2] is None:
            return f"[{length}]"
        # A step left out is that of the evaluations, which is short here anyway.
        step = divided(found[2], by, shortest_s) if found[2] else ""
        return f"[{length}:{step}]"

    return _RANGE.sub(shorter, expression)


def quick_rules(source: Path, target: Path, by: float, *, shortest_s: float = 4.0) -> Path:
    """Write the rules of `source`, divided, to `target`."""
    document: dict[str, Any] = yaml.safe_load(source.read_text())
    for group in document["groups"]:
        # As often as anything can change: targets are scraped every second.
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = quickened(str(rule["expr"]), by, shortest_s)
            for name in ("for", "keep_firing_for"):
                if name in rule:
                    rule[name] = divided(rule[name], by, 0.0)
    target.write_text(yaml.safe_dump(document, sort_keys=False))
    return target
