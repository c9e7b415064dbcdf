"""The plugin: an engine step lasts as long as it is modelled to."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.real.plugin.engine_pacing import READ_EVERY_S, Factor, paced


def test_without_a_file_nothing_is_slowed(tmp_path: Path) -> None:
    """The factor of a server that nobody slows is 1."""
    assert Factor(tmp_path / "factor").at(0.0) == 1.0


def test_a_factor_is_taken_up_and_taken_back(tmp_path: Path) -> None:
    """A change of the file shows at the next reading, its removal too."""
    file = tmp_path / "factor"
    factor = Factor(file)
    seen = [factor.at(0.0)]
    file.write_text("3.0")
    seen += [factor.at(READ_EVERY_S / 2), factor.at(READ_EVERY_S)]
    file.unlink()
    seen.append(factor.at(2 * READ_EVERY_S))
    assert seen == [1.0, 1.0, 3.0, 1.0]


def test_a_half_written_factor_changes_nothing(tmp_path: Path) -> None:
    """While the file holds no number, the one before holds."""
    file = tmp_path / "factor"
    file.write_text("3")
    factor = Factor(file)
    assert factor.at(0.0) == 3.0
    file.write_text("")
    assert factor.at(READ_EVERY_S) == 3.0


@pytest.mark.parametrize(("sequences", "wanted_s"), [(4, 3 * (0.02 + 4 * 0.001)), (0, 0.0)])
def test_a_step_is_stretched_to_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sequences: int, wanted_s: float
) -> None:
    """Base and share of each sequence, times the factor; a step without sequences is not held."""
    (tmp_path / "factor").write_text("3")
    slept: list[float] = []
    # The clock is vLLM's process's own; here it stands still.
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(time, "sleep", slept.append)
    step = paced(lambda _, scheduled: scheduled, 0.02, 0.001, Factor(tmp_path / "factor"))
    scheduled = SimpleNamespace(num_scheduled_tokens=dict.fromkeys(range(sequences), 1))
    assert step(object(), scheduled) is scheduled
    assert sum(slept) == pytest.approx(wanted_s)
