"""Write the dashboards' JSON, or say which of them is not what this code makes.

python -m grafana.generate            writes grafana/dashboards/*.json
python -m grafana.generate --check    writes nothing; exits 1 and names what is stale
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards import backend, controller, fleet

DIRECTORY = Path(__file__).parent / "dashboards"


def texts() -> Mapping[str, str]:
    """The JSON of every dashboard by the name of its file; the same each time."""
    built = {
        "fleet.json": fleet.build(),
        "backend.json": backend.build(),
        "controller.json": controller.build(),
    }
    return {name: _text(board) for name, board in built.items()}


def stale(directory: Path) -> list[str]:
    """What differs from what this code makes, one sentence per file."""
    made = texts()
    faults = []
    for name, text in made.items():
        path = directory / name
        if not path.exists():
            faults.append(f"{path} is missing")
        elif path.read_text(encoding="utf-8") != text:
            faults.append(f"{path} is not what grafana/ makes now")
    known = {directory / name for name in made}
    return faults + [
        f"{path} is made by nothing in grafana/"
        for path in sorted(directory.glob("*.json"))
        if path not in known
    ]


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 when `--check` found a stale file."""
    parser = argparse.ArgumentParser(prog="python -m grafana.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when stale")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the JSON stands")
    options = parser.parse_args(arguments)
    if options.check:
        faults = stale(options.directory)
        for fault in faults:
            sys.stderr.write(f"{fault}; run python -m grafana.generate\n")
        return 1 if faults else 0
    for name, text in texts().items():
        (options.directory / name).write_text(text, encoding="utf-8")
    return 0


def _text(board: object) -> str:
    plain = json.loads(json.dumps(board, cls=JSONEncoder))
    return json.dumps(_trim(plain), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _trim(node: Any) -> Any:  # noqa: ANN401  # JSON is of any type
    """Without what the SDK adds though nobody asked for it.

    It hides every link and annotation in a menu, and gives data links the fields of others.
    """
    if isinstance(node, list):
        return [_trim(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "includeVars" in node and not node["icon"]:
        return {key: node[key] for key in ("title", "url", "targetBlank")}
    return {
        key: _trim(value)
        for key, value in node.items()
        if key != "placement" or value != "inControlsMenu"
    }


if __name__ == "__main__":
    sys.exit(main())
