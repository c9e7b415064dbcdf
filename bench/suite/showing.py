"""Figures as text for a person: two or three digits are what they are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def number(value: float | None) -> str:
    """Three digits, two of what is below 0.1; empty for None."""
    if value is None:
        return ""
    if abs(value) < 0.0995:  # noqa: PLR2004 - rounds to less than 0.1
        return f"{value:.2g}"
    if abs(value) < 9.95:  # noqa: PLR2004 - rounds to less than 10
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 99.5 else f"{value:,.0f}"  # noqa: PLR2004 - less than 100


def share(value: float | None) -> str:
    """Per cent: whole ones, two digits of what is below ten; empty for None."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    return f"{100 * value:.2g} %" if value < 0.0995 else f"{100 * value:.0f} %"  # noqa: PLR2004 - rounds to less than 10


def spread(triple: Sequence[float] | None, *, shares: bool = False) -> str:
    """A mean and its range, if it has one; empty for None."""
    if triple is None:
        return ""
    mean, low, high = ((share if shares else number)(value) for value in triple)
    return mean if low == high else f"{mean} ({low}..{high})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
