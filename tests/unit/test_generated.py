"""Files that are written from others are current, and what is not is named and mended."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from grafana import generate
from scripts import configuration, kubernetes
from scripts.generated import ROOT, Generated

OURS = (configuration.GENERATED, kubernetes.GENERATED, generate.GENERATED)


def upper(root: Path) -> Mapping[Path, str]:
    """Of every text in `from` the same in capitals in `made`; a digit cannot be used."""
    made = {}
    for path in sorted((root / "from").iterdir()):
        if path.read_text().isdigit():
            raise ValueError(f"{path.name} is a number")
        made[Path("made") / path.name] = path.read_text().upper()
    return made


CAPITALS = Generated("capitals", upper, owned=("made/*.txt",))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three sources, and what is made from them."""
    (tmp_path / "from").mkdir()
    for name in "abc":
        (tmp_path / "from" / f"{name}.txt").write_text(name)
    assert CAPITALS.main(["--root", str(tmp_path)]) == 0
    return tmp_path


@pytest.mark.parametrize("ours", OURS, ids=lambda ours: ours.module)
def test_what_is_committed_is_what_is_made(ours: Generated) -> None:
    """Nobody edited such a file, and nobody forgot to write it anew."""
    assert ours.stale(ROOT) == []
    assert ours.main(["--check"]) == 0


def test_what_is_stale_is_named_and_mended(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An edited file, a missing one and one without a source are faults until they are written."""
    assert CAPITALS.stale(tree) == []
    (tree / "made/a.txt").write_text("edited")
    (tree / "made/b.txt").rename(tree / "made/d.txt")
    assert CAPITALS.main(["--check", "--root", str(tree)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"made/{what}; run python -m capitals"
        for what in (
            "a.txt is not what its source makes now",
            "b.txt is missing",
            "d.txt is made from nothing",
        )
    ]
    assert (tree / "made/a.txt").read_text() == "edited"
    assert CAPITALS.main(["--root", str(tree)]) == 0
    assert CAPITALS.main(["--check", "--root", str(tree)]) == 0
    assert {path.name: path.read_text() for path in (tree / "made").iterdir()} == {
        "a.txt": "A",
        "b.txt": "B",
        "c.txt": "C",
    }


@pytest.mark.parametrize("arguments", [[], ["--check"]], ids=["write", "check"])
def test_sources_that_cannot_be_used_change_nothing(
    tree: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with them is said, and what was made before stays."""
    (tree / "from/a.txt").write_text("other")
    (tree / "from/b.txt").write_text("2")
    (tree / "from/c.txt").unlink()
    assert CAPITALS.main([*arguments, "--root", str(tree)]) == 1
    assert capsys.readouterr().err == "b.txt is a number\n"
    assert sorted(path.read_text() for path in (tree / "made").iterdir()) == ["A", "B", "C"]
