"""Values as people write them: durations and percentages with units, addresses, matchers."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AllowInfNan, BeforeValidator, PlainSerializer, Strict

from controller.core.address import is_pool_name, split_address

UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)? ?(?:ms|[smhd]) ?)+\Z")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|[smhd])")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%\Z")
_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\\n]|\\.)*)"\s*\Z')
_BETWEEN_MATCHERS = re.compile(r',(?=(?:[^"\\]|\\.|"(?:[^"\\]|\\.)*")*\Z)')
_SIGNAL_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def duration_s(value: object) -> float:
    """Read `250ms`, `10s`, `1m30s`, `2h` as seconds.

    Raises:
        ValueError: There is no unit, or it is not such a text.
    """
    if isinstance(value, str) and _DURATION.match(value):
        seconds = sum(float(number) * UNIT_S[unit] for number, unit in _PART.findall(value))
        if math.isfinite(seconds):
            return seconds
    raise ValueError("expected a duration with its unit, such as 500ms, 10s or 1m30s")


def duration_text(seconds: float) -> str:
    """Write seconds the way `duration_s` reads them."""
    for unit in ("h", "m", "s"):
        if seconds >= UNIT_S[unit] and seconds % UNIT_S[unit] == 0:
            return f"{seconds / UNIT_S[unit]:.0f}{unit}"
    return f"{seconds * 1000:.15g}ms"


def fraction(value: object) -> float:
    """Read `50%` as 0.5.

    Raises:
        ValueError: It is not a percentage.
    """
    found = _PERCENT.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected a percentage with its sign, such as 50%")
    return float(found[1]) / 100


def fraction_text(value: float) -> str:
    """Write a fraction the way `fraction` reads it."""
    return f"{value * 100:.10g}%"


def address(value: object) -> str:
    """Check `host:port`.

    Raises:
        ValueError: It is not one.
    """
    if not isinstance(value, str):
        raise ValueError("expected host:port, such as 10.0.0.5:8000")  # noqa: TRY004 - pydantic reports it
    split_address(value)
    return value


def file_path(value: object) -> Path:
    """Check the path of a file or directory.

    Raises:
        ValueError: No file can be there.
    """
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected a path, such as /etc/vllm-nginx-lb/token")
    return Path(value)


def pool_name(value: object) -> str:
    """Check the name of an upstream.

    Raises:
        ValueError: Nginx would not take it.
    """
    if not isinstance(value, str) or not is_pool_name(value):
        raise ValueError("expected letters, digits, '_', '.', '-', starting with a letter or '_'")
    return value


def selector(value: object) -> str:
    """Check label matchers such as `job="vllm", namespace=~"llm-.*"`, with or without braces.

    Raises:
        ValueError: They are not PromQL label matchers.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("{") and text.endswith("}"):
            text = text[1:-1]
        matchers = [_MATCHER.match(part) for part in _BETWEEN_MATCHERS.split(text) if part.strip()]
        found = [match for match in matchers if match is not None]
        if found and len(found) == len(matchers):
            return ",".join(f'{match[1]}{match[2]}"{match[3]}"' for match in found)
    raise ValueError('expected label matchers, such as job="vllm",namespace="prod"')


def signal_name(value: object) -> str:
    """Check the name of a signal.

    Raises:
        ValueError: It is not lower case with underscores.
    """
    if not isinstance(value, str) or not _SIGNAL_NAME.match(value):
        raise ValueError("expected a name in lower case, such as kv_usage")
    return value


@dataclass(frozen=True, slots=True)
class Words:
    """Stands in an annotation: what the reference calls such a value."""

    words: str


Duration = Annotated[
    float,
    BeforeValidator(duration_s),
    PlainSerializer(duration_text, return_type=str),
    Words("duration"),
]
Fraction = Annotated[
    float,
    BeforeValidator(fraction),
    PlainSerializer(fraction_text, return_type=str),
    Words("percentage"),
]
# YAML tells numbers from texts and from yes and no; one for the other is a mistake.
Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict(), AllowInfNan(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]
Address = Annotated[str, BeforeValidator(address), Words("`host:port`")]
FilePath = Annotated[Path, BeforeValidator(file_path), Words("path")]
PoolName = Annotated[str, BeforeValidator(pool_name), Words("pool name")]
PromQl = Annotated[str, Words("PromQL expression")]
Selector = Annotated[str, BeforeValidator(selector), Words("label matchers")]
SignalName = Annotated[str, BeforeValidator(signal_name), Words("signal name")]
