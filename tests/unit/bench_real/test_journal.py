"""The journal: a bench that was broken off goes on where it was."""

from pathlib import Path

import pytest

from bench.real.journal import Journal, JournalError

SESSION = {"ports": [1, 2], "capacity": 11.9}


def record(key: str) -> dict[str, object]:
    """A finished run."""
    return {"key": key, "requests": [[0.0, 0.1]]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with one finished run."""
    journal = Journal(tmp_path / "there" / "journal.jsonl")
    assert (journal.session, journal.records) == (None, {})
    journal.append(SESSION)
    journal.append(record("60/a/0"))
    return journal.path


def test_what_was_finished_is_read_back(path: Path) -> None:
    """A new process sees what the one before it kept."""
    journal = Journal(path)
    assert journal.session == SESSION
    assert journal.records == {"60/a/0": record("60/a/0")}


@pytest.mark.parametrize("torn", ['{"key": "60/b', '{"key": "60/b/0"}', "\xff"])
def test_a_torn_last_line_is_a_run_to_be_done_again(path: Path, torn: str) -> None:
    """A line without its newline does not count, and the next one does not continue it."""
    with path.open("a", encoding="latin-1") as output:
        output.write(torn)
    journal = Journal(path)
    assert set(journal.records) == {"60/a/0"}
    journal.append(record("60/c/0"))
    assert set(Journal(path).records) == {"60/a/0", "60/c/0"}


def test_a_session_that_was_torn_is_a_new_one(tmp_path: Path) -> None:
    """Whoever is killed while writing the first line starts from nothing."""
    path = tmp_path / "journal.jsonl"
    path.write_text('{"ports": [1')
    assert Journal(path).session is None
    assert path.read_text() == ""


def test_a_bad_line_before_the_last_is_an_error(path: Path) -> None:
    """What no killed process leaves behind is not passed over, and is named with its line."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "what?", lines[1]]) + "\n")
    with pytest.raises(JournalError, match=r"journal\.jsonl:2: "):
        Journal(path)
