"""The dashboards that are committed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from grafana.generate import DASHBOARDS
from scripts.generated import ROOT


def committed() -> list[Path]:
    """Their files."""
    return sorted((ROOT / DASHBOARDS).glob("*.json"))


@pytest.fixture(scope="session")
def boards() -> Mapping[str, Mapping[str, Any]]:
    """Each by the name of its file."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in committed()}
