"""Plots as SVG that is the same for the same results."""

from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

# For matplotlib.rc_context. Text stays text, and ids are hashes of their content.
STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bench",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure, within the style; no date is written."""
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
