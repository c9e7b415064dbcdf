"""Rules and their tests, by the tool that comes with Prometheus."""

import subprocess
from pathlib import Path

import pytest

from scripts.check_docs import ROOT

pytestmark = pytest.mark.integration

RULES = sorted(path.relative_to(ROOT) for path in (ROOT / "rules").glob("*.yml"))
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "rules" / "tests").glob("*.yml"))


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What promtool says."""
    return subprocess.run(
        ["promtool", *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_prometheus_accepts_the_rules(rules: Path) -> None:
    """Every rule file is one that Prometheus loads, without anything to complain about."""
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", rules)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("tests", TESTS, ids=str)
def test_rules_do_what_they_are_for(tests: Path) -> None:
    """Recordings have the values, and alerts fire and do not fire, as their tests say."""
    done = promtool("test", "rules", tests)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_file_is_tested() -> None:
    """Each file of rules is loaded by some file of tests."""
    texts = "".join((ROOT / path).read_text() for path in TESTS)
    assert [path.name for path in RULES if f"../{path.name}" not in texts] == []


def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    """A test that expects another value fails, so that the others mean something."""
    text = (ROOT / "rules" / "tests" / "recording.yml").read_text()
    wrong = tmp_path / "wrong.yml"
    rules = ROOT / "rules" / "recording.yml"
    wrong.write_text(
        text.replace("../recording.yml", str(rules)).replace("value: 0.75", "value: 3")
    )
    assert promtool("test", "rules", wrong).returncode != 0
