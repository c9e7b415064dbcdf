"""What a panel's JSON says of how its answers are shown."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lab.incidents.asking import Series

Panel = Mapping[str, Any]
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")

# Grafana's names of colours, in its light theme.
_COLOURS = {
    "green": "#56a64b",
    "blue": "#3274d9",
    "yellow": "#e0b400",
    "orange": "#ff780a",
    "red": "#e02f44",
    "purple": "#a352cc",
    "text": "#222222",
    "transparent": "#ffffff",
}


def colour(name: str) -> str:
    """A colour of Grafana for matplotlib; shades of a colour are that colour."""
    if name.startswith("#"):
        return name[:7]
    return _COLOURS.get(name.rsplit("-", 1)[-1], "#8e8e8e")


def named(legend: str, series: Series) -> str:
    """A series's name in the legend."""
    if not legend:
        return " ".join(v for k, v in sorted(series.labels.items()) if k != "__name__")
    return _PLACEHOLDER.sub(lambda found: series.labels.get(found[1], ""), legend)


def placeholders(legend: str) -> set[str]:
    """Labels that a legend asks for."""
    return set(_PLACEHOLDER.findall(legend))


def defaults(panel: Panel) -> Mapping[str, Any]:
    """What holds for all fields of a panel."""
    found: Mapping[str, Any] = panel.get("fieldConfig", {}).get("defaults", {})
    return found


def overridden(panel: Panel, matcher: str, wanted: str) -> Mapping[str, Any]:
    """Properties that overrides set for a query (`byFrameRefID`) or for a field (`byName`)."""
    return {
        entry["id"]: entry.get("value")
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        if (override["matcher"]["id"], override["matcher"].get("options")) == (matcher, wanted)
        for entry in override["properties"]
    }


def mapped(mappings: object, value: float | str) -> tuple[str, str] | None:
    """Text and colour that stand for a value; None where nothing is said."""
    key = value if isinstance(value, str) else f"{value:g}"
    for mapping in mappings if isinstance(mappings, list) else ():
        if mapping["type"] == "value" and key in mapping["options"]:
            found = mapping["options"][key]
            return found.get("text", key), colour(found.get("color", "text"))
    return None


def threshold(steps: object, value: float) -> str:
    """The colour of a value."""
    found = "text"
    for step in _steps(steps):
        if step.get("value") is None or value >= step["value"]:
            found = step["color"]
    return colour(found)


def _steps(thresholds: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(thresholds, Mapping):
        yield from thresholds.get("steps", ())
