"""Write the dashboards' JSON, or say which of them is not what this code makes.

python -m grafana.generate            writes grafana/dashboards/*.json
python -m grafana.generate --check    writes nothing; exits 1 and names what is stale
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards import backend, controller, fleet
from scripts.generated import Generated

DASHBOARDS = Path("grafana/dashboards")


def texts(_: Path) -> Mapping[Path, str]:
    """The JSON of every dashboard, by its path below the root of the project."""
    built = {
        "fleet.json": fleet.build(),
        "backend.json": backend.build(),
        "controller.json": controller.build(),
    }
    return {DASHBOARDS / name: _text(board) for name, board in built.items()}


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


GENERATED = Generated("grafana.generate", texts, owned=(f"{DASHBOARDS}/*.json",))

if __name__ == "__main__":
    sys.exit(GENERATED.main())
