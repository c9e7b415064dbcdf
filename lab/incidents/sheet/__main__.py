"""Draw what a reader may expect of the dashboards.

python -m lab.incidents.sheet                  writes docs/images/dashboard-*.png
python -m lab.incidents.sheet --directory DIR  writes them elsewhere
"""

import argparse
import tempfile
from pathlib import Path

from lab.incidents.answers import answers, boards
from lab.incidents.loading import replay
from lab.incidents.sheet.page import draw

# The drill-down is about one server: the one that is throttled, and later down.
_ONE = {"job": "vllm", "model": "llama", "instance": "10.0.0.12:8000", "pool": "llm"}
_IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"


def main() -> None:
    """Play the two hours, ask all queries, draw the answers."""
    parser = argparse.ArgumentParser(prog="python -m lab.incidents.sheet", description=__doc__)
    parser.add_argument("--directory", type=Path, default=_IMAGES, help="where the pictures go")
    directory: Path = parser.parse_args().directory
    with tempfile.TemporaryDirectory() as scratch, replay(Path(scratch)) as world:
        for uid, board in boards().items():
            path = directory / f"dashboard-{uid.removeprefix('lb-')}.png"
            chosen = _ONE if uid == "lb-backend" else {}
            found = list(answers(world, board, chosen))
            draw(board, found, path, chosen=chosen.get("instance", ""))
            print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
