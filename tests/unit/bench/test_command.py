"""The command line of the suite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.suite.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


def test_a_part_of_the_suite_is_written_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the chosen scenarios, policies and seeds, with progress, a summary and four files."""
    options = ["--scenarios", "lab", "--policies", "least_conn,ladder", "--seeds", "1"]
    assert main([*options, "--out", str(tmp_path / "found")]) == 0
    report = json.loads((tmp_path / "found" / "latest.json").read_text())
    assert list(report["cells"]) == ["lab@0.6", "lab@0.75", "lab@0.84", "lab@0.92"]
    assert set(report["ratios"]) == {"least_conn", "ladder"}
    assert report["cells"]["lab@0.6"]["seeds"] == [1]
    files = {path.name for path in (tmp_path / "found").iterdir()}
    assert files == {"latest.json", "latest.md", "ttft-p99.svg", "throttle.svg"}
    shown = capsys.readouterr().out
    assert "100%" in shown
    assert "| ladder |" in shown


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--scenarios", "lab,pond"], "--scenarios: pond: expected some of a-code, a-conv"),
        (["--policies", "snake"], "--policies: snake: expected some of round_robin, least_conn"),
        (["--quick", "--scenarios", "scale-out"], "none of them is in the quick suite"),
    ],
)
def test_what_is_not_known_is_refused(
    options: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the names that would have been right."""
    assert main(options) == 2
    assert fault in capsys.readouterr().err


def test_a_comparison_needs_no_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """Without least_conn there are no ratios against it, and nothing else is missing."""
    options = "--scenarios lab --policies ladder,capacity_spill --seeds 1"
    assert main([*options.split(), "--quick"]) == 0
    assert "| ladder | the controller with the public ladder of KV-cache thresholds |  |" in (
        capsys.readouterr().out
    )
