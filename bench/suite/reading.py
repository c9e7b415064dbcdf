"""Reads scenario files. Every fault is told at once: where, what was found, what was expected."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from bench.suite.pools import POOLS
from bench.suite.scenario import Scenario
from controller.core.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SCENARIOS: Final = Path(__file__).resolve().parent.parent / "scenarios"


def parse(text: str, stem: str) -> Scenario:
    """Check the text of a scenario file; `stem` is its name without the ending.

    Raises:
        ConfigError: It has faults; all of them are listed.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{stem}: not TOML: {error}"]) from error
    try:
        return Scenario.model_validate(values, context=_context(values, stem))
    except ValidationError as error:
        raise ConfigError([_fault(stem, each) for each in error.errors()]) from error


def _context(values: dict[str, Any], stem: str) -> dict[str, Any]:
    """What parts of a file are held against, as far as it can be used itself."""
    pool, duration_s, loads = (values.get(key) for key in ("pool", "duration_s", "loads"))
    known = isinstance(pool, str) and pool in POOLS
    return {
        "stem": stem,
        "servers": len(POOLS[str(pool)].engines) if known else None,
        "duration_s": duration_s if isinstance(duration_s, int | float) else 900.0,
        "loads": [each for each in loads if isinstance(each, int | float)]
        if isinstance(loads, list)
        else None,
    }


# What pydantic says is written for programmers.
_SAID: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than_equal": "expected at most {le}",
    "finite_number": "expected a finite number",
    "literal_error": "expected {expected}",
    "union_tag_invalid": "kind: expected one of {expected_tags}",
    "tuple_type": "expected a list",
}
_SHOWN: Final = 60


def _fault(stem: str, error: ErrorDetails) -> str:
    place, context = list(error["loc"]), error.get("ctx", {})
    if place[:1] == ["events"]:
        del place[2:3]  # the kind, by which pydantic chose what to hold the event against
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    message = error["msg"].removeprefix("Value error, ")
    said = _SAID[error["type"]].format(**context) if error["type"] in _SAID else message
    found = "" if error["type"] == "missing" else f", got {error['input']!r:.{_SHOWN}}"
    return f"{stem}: {shown.removeprefix('.')}: {said}{found}"


def load_all(directory: Path = SCENARIOS) -> tuple[Scenario, ...]:
    """Read all scenario files of a directory, in order of their names.

    Raises:
        ConfigError: Any of them has faults; those of all files are listed.
    """
    found: list[Scenario] = []
    faults: list[str] = []
    for path in sorted(directory.glob("*.toml")):
        try:
            found.append(parse(path.read_text(encoding="utf-8"), path.stem))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return tuple(found)
