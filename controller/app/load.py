"""Reads the configuration file and tells all its faults at once, each with its line."""

from collections.abc import Hashable, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.app.config import Config
from controller.core.errors import ConfigError

_Location = Sequence[int | str]
# What pydantic says is written for programmers; these are the cases that people meet most.
_EXPECTED = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "model_type": "expected a mapping of keys to values",
    "dict_type": "expected a mapping of keys to values",
    "tuple_type": "expected a list",
    "too_short": "expected at least {min_length}",
    "union_tag_not_found": "expected a mapping that names its kind ({discriminator})",
    "union_tag_invalid": "expected {discriminator} to be one of {expected_tags}",
}
_SHOWN = 60


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: The file cannot be read or has faults; all of them are listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text at byte {error.start}"]) from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Config:
    """Check the text of a configuration file; `source` names it in errors.

    Raises:
        ConfigError: It has faults; all of them are listed.
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ConfigError([f"{source}{line}: not YAML: {problem}"]) from error
    except (ValueError, RecursionError, TypeError) as error:
        raise ConfigError([f"{source}: not a configuration: {error}"]) from error
    if not isinstance(values, dict) or node is None:
        raise ConfigError([f"{source}: expected a mapping with the keys prometheus, pools, nginx"])
    faults = [f"{source}:{line}: {key} stands there twice" for line, key in _duplicates(node)]
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        errors = _innermost(error.errors(include_url=False))
        found = sorted(_describe(each, node) for each in errors)
        faults += [f"{source}:{line}: {sentence}" for line, sentence in found]
    else:
        if not faults:
            return config
    raise ConfigError(faults)


def _innermost(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what only follows from a fault further in, such as a list cut short by it."""
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if not any(p != error["loc"] and p[: len(error["loc"])] == error["loc"] for p in places)
    ]


def _duplicates(node: yaml.Node) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    found.append((key.start_mark.line + 1, key.value))
                seen.add(key.value)
            found += _duplicates(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found += _duplicates(item)
    return found


def _describe(error: ErrorDetails, root: yaml.Node) -> tuple[int, str]:
    place, line = _place(error["loc"], root)
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "value_error":
        problem = str(context.get("error", error["msg"]))
    elif kind in _EXPECTED:
        problem = _EXPECTED[kind].format(**context)
    else:
        problem = "expected " + error["msg"].removeprefix("Input should be ")
    shown = repr(error["input"])
    if kind not in {"missing", "extra_forbidden"} and len(shown) <= _SHOWN and shown not in problem:
        problem += f", got {shown}"
    return line, f"{place or 'the file'}: {problem}"


def _place(location: _Location, root: yaml.Node) -> tuple[str, int]:
    """The place as a person would write it, and the line of the nearest node that exists."""
    text, node, line = "", root, root.start_mark.line + 1
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
            if isinstance(node, yaml.SequenceNode) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            continue
        children = dict(_children(node))
        if part in children:
            line, node = children[part]
        elif _is_union_tag(part, location, node):
            continue
        text += f".{part}" if text else part
    return text, line


def _children(node: yaml.Node) -> list[tuple[str, tuple[int, yaml.Node]]]:
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(key.value, (key.start_mark.line + 1, value)) for key, value in node.value]


def _is_union_tag(part: str, location: _Location, node: yaml.Node) -> bool:
    """Whether pydantic put the kind of a section into the location; it is no key of the file."""
    tags = {value.value for key, (_, value) in _children(node) if key in {"name", "mode"}}
    return part in tags and part != location[-1]
