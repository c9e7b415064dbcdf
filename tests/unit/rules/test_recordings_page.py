"""docs/recordings.md lists what rules/recording.yml records."""

import re

from scripts.check_docs import ROOT
from tests.unit.rules.rule_files import rules

PAGE = (ROOT / "docs" / "recordings.md").read_text()
ROW = re.compile(r"^\| `(?P<name>[^`]+:[^`]+)` \| (?P<unit>[^|]+) \| [^|]+ \|$", re.MULTILINE)
UNITS = {"0..1", "s", "1/s", "requests", "requests/s", "tries/s", "tokens/s"}


def test_the_page_lists_every_recording_and_no_other() -> None:
    """Who looks a recording up finds it once."""
    recorded = [rule.name for rule in rules("record") if rule.place.startswith("recording.yml")]
    assert sorted(row["name"] for row in ROW.finditer(PAGE)) == sorted(recorded)


def test_every_recording_has_a_unit() -> None:
    """Units are few, and a ratio is told as 0..1."""
    units = {row["name"]: row["unit"] for row in ROW.finditer(PAGE)}
    assert set(units.values()) <= UNITS
    ratios = {name for name in units if re.search(r":(ratio|imbalance|share|max$)", name)}
    assert {units[name] for name in ratios} == {"0..1"}
    assert {unit for name, unit in units.items() if "seconds:" in name} == {"s"}
