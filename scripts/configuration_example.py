"""Writes a complete, commented configuration file from the models."""

import re
import textwrap
from collections.abc import Iterator

import yaml

from controller.app.config import Config, Section
from controller.policy.capacity import Capacity
from scripts.configuration_keys import Key, keys_of, parameters, variants_of, written

_WIDTH = 100
# One of these and `discovery` must stand in each pool.
_SHOWN = frozenset({"backends"})


def example() -> str:
    """Every key, with what it means above it.

    A key stands behind a `#` where it has no default or where another excludes it; its value is an
    example then.
    """
    return "\n".join(_section(Config, "")) + "\n"


def _section(model: type[Section], indent: str) -> Iterator[str]:
    for key in keys_of(model):
        yield from _comment(key.description, indent)
        if key.name == "policy":
            yield from _policy(indent)
            continue
        variants, many = variants_of(key.field)
        if not variants:
            yield _value(key, indent)
            continue
        first, *others = variants
        shown = key.default is None or key.field.default_factory or key.name in _SHOWN
        block = list(_nested(key.name, first, indent, many=many))
        if all(line.lstrip().startswith("#") for line in block[1:]):
            # A section with nothing in it is no mapping: it is shown and hidden as a whole.
            block = [re.sub(r"^( *)#(?=\w)", r"\1", line) for line in block]
            shown = False
        yield from block if shown else _behind_hash(block, indent)
        for other in others:
            yield from _comment(f"Or: {other.__doc__}", indent)
            yield from _behind_hash(list(_nested(key.name, other, indent, many=many)), indent)


def _nested(name: str, model: type[Section], indent: str, *, many: bool) -> Iterator[str]:
    yield f"{indent}{name}:"
    if not many:
        yield from _section(model, f"{indent}  ")
        return
    lines = list(_section(model, f"{indent}    "))
    start = next(n for n, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:start])
    yield f"{indent}  - {lines[start].lstrip()}"
    yield from lines[start + 1 :]


def _value(key: Key, indent: str) -> str:
    if key.example is not None:
        behind = "" if key.default is None else "#"
        return f"{indent}{behind}{key.name}: {_flow(key.example)}"
    value = key.field.get_default(call_default_factory=True, validated_data={})
    return f"{indent}{key.name}: {_flow(written(key.field, value))}"


def _policy(indent: str) -> Iterator[str]:
    yield f"{indent}policy:"
    yield f"{indent}  name: {Capacity.name}"
    for each in parameters(Capacity):
        yield from _comment(each.description, f"{indent}  ")
        yield f"{indent}  {each.name}: {_flow(each.default)}"


def _comment(text: str, indent: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=start)


def _behind_hash(lines: list[str], indent: str) -> Iterator[str]:
    return (f"{indent}#{line.removeprefix(indent)}" for line in lines)


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=_WIDTH * 10)
    return text.removesuffix("...\n").strip()
