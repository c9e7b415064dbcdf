"""The tables of docs/troubleshooting.md name what the controller says."""

import re

from controller.app.loop import Result
from controller.core.reasons import PoolReason
from controller.core.stabilise import CHANGES
from scripts.check_docs import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
FIRST_CELL = re.compile(r"^\| `(\w+)(\.\.\.)?` \|", re.MULTILINE)


def first_cells(heading: str) -> set[str]:
    """The code in the first cells of the table below a heading."""
    section = PAGE.partition(f" {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    return {name for name, _ in FIRST_CELL.findall(section)}


def test_each_result_of_a_tick_is_explained() -> None:
    """The first word of the status is one of the table, and the table has no other."""
    assert first_cells("Start here") == set(Result)


def test_each_reason_to_hold_is_explained() -> None:
    """Every reason for which nothing is written has a row, and those of blindness have one."""
    blind = {reason for reason in PoolReason if reason.startswith("blind_")}
    assert first_cells("Weights never change") == set(PoolReason) - CHANGES - blind | {"blind_"}
