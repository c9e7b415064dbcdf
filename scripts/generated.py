"""Files that a program writes from others: the command that writes them, or names what is stale."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Generated:
    """The files that one module writes.

    Attributes:
        module: The module, as `python -m` takes it.
        texts: Given where the project stands, the text of every file by its path below; the same
            each time. Raises ValueError for sources that cannot be used.
        owned: Patterns of files below the root that nobody else writes.
    """

    module: str
    texts: Callable[[Path], Mapping[Path, str]]
    owned: Sequence[str] = ()

    def stale(self, root: Path) -> list[str]:
        """What differs from what the sources make, one sentence per file.

        Raises:
            ValueError: The sources cannot be used.
        """
        made = self.texts(root)
        faults = []
        for path, text in made.items():
            if not (root / path).exists():
                faults.append(f"{path} is missing")
            elif (root / path).read_text(encoding="utf-8") != text:
                faults.append(f"{path} is not what its source makes now")
        return faults + [f"{path} is made from nothing" for path in self._strangers(root, made)]

    def write(self, root: Path) -> None:
        """Write what is stale or missing, and remove what is made from nothing.

        Raises:
            ValueError: The sources cannot be used; nothing was written.
        """
        made = self.texts(root)
        for path in self._strangers(root, made):
            (root / path).unlink()
        for path, text in made.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """The exit code: 1 when `--check` found something stale, or nothing can be made."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}")
        parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when stale")
        parser.add_argument("--root", type=Path, default=ROOT, help="where the project stands")
        options = parser.parse_args(arguments)
        try:
            if not options.check:
                self.write(options.root)
                return 0
            faults = [f"{fault}; run python -m {self.module}" for fault in self.stale(options.root)]
        except ValueError as error:
            faults = [str(error)]
        for fault in faults:
            sys.stderr.write(f"{fault}\n")
        return 1 if faults else 0

    def _strangers(self, root: Path, made: Mapping[Path, str]) -> list[Path]:
        """Files that match a pattern, and whose source is gone."""
        present = [
            path.relative_to(root) for pattern in self.owned for path in sorted(root.glob(pattern))
        ]
        return [path for path in present if path not in made]
