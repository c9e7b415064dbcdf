"""The rule files, as values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from scripts.check_docs import ROOT

RULES = ROOT / "rules"


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording or an alert.

    Attributes:
        kind: Which of the two.
        name: Of the recording or of the alert.
        expr: PromQL.
        labels: What it adds to, or replaces in, the result.
        annotations: Of an alert.
        place: File and group, for a person.
    """

    kind: Literal["record", "alert"]
    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    place: str = ""

    def __str__(self) -> str:
        """Say where it is, for the name of a test."""
        return f"{self.place} {self.name}"


def rule_files() -> list[Path]:
    """All rule files."""
    return sorted(RULES.glob("*.yml"))


def rules(*kinds: str) -> list[Rule]:
    """All rules of all files, or those of a kind."""
    found = (rule for path in rule_files() for rule in _of(path))
    return [rule for rule in found if not kinds or rule.kind in kinds]


def _of(path: Path) -> Iterator[Rule]:
    for group in yaml.safe_load(path.read_text())["groups"]:
        for entry in group["rules"]:
            yield made(entry, f"{path.name} {group['name']}")


def made(entry: Mapping[str, Any], place: str = "") -> Rule:
    """A rule of an entry of a rule file."""
    kind: Literal["record", "alert"] = "record" if "record" in entry else "alert"
    return Rule(
        kind,
        entry[kind],
        entry["expr"],
        entry.get("labels", {}),
        entry.get("annotations", {}),
        place,
    )
