"""Reads the configuration file and tells all its faults at once, each with its line."""

import re
from collections.abc import Sequence
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
    "invalid_key": "is not a known key",
    "model_type": "expected a mapping of keys to values",
    "model_attributes_type": "expected a mapping of keys to values",
    "dict_type": "expected a mapping of keys to values",
    "tuple_type": "expected a list",
    "too_short": "expected a list of at least {min_length}",
    "string_too_short": "expected a text of at least {min_length} character",
    "string_pattern_mismatch": "expected a text that matches {pattern}",
    "union_tag_not_found": "expected a mapping that names its kind ({discriminator})",
    "union_tag_invalid": "expected {discriminator} to be one of {expected_tags}",
}
_SHOWN = 60
_SHOWN_BITS = 64
# A URL with a user has a password, and one with a query may have a token: neither gets into a log.
_CREDENTIALS = re.compile(r"//[^/]*@|//.*[?#]")
# Of an address that is refused: what says which server was meant.
_SERVER = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*://)?[A-Za-z0-9_.-]+(?::[0-9]+)?)(?=[/?#]|\Z)")
# Enough for ten thousand backends; a file of a few lines can stand for billions through aliases.
_MOST_NODES = 200_000
# What the constructors of PyYAML raise for values that are tagged as what they are not.
_NOT_CONSTRUCTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


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
        if node is not None and not _is_bounded(node):
            raise ConfigError([f"{source}: its aliases make it endless or too large"])
        values = yaml.safe_load(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"a character that cannot stand there: {chr(error.character)!r}"
        raise ConfigError([f"{source}:{line}: not YAML: {problem}"]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line_of = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ConfigError([f"{source}{line_of}: not YAML: {problem}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{source}: nested too deeply"]) from error
    except _NOT_CONSTRUCTED as error:
        raise ConfigError([f"{source}: has a value that is not what it claims: {error}"]) from error
    if not isinstance(values, dict) or node is None:
        raise ConfigError([f"{source}: expected a mapping with the keys prometheus, pools, nginx"])
    faults = [f"{source}:{line}: {key} stands there twice" for line, key in _duplicates(node)]
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        found = sorted(_describe(each, node) for each in innermost(error))
        faults += [f"{source}:{line}: {fault}" for line, fault in found]
    else:
        if not faults:
            return config
    raise ConfigError(faults)


def innermost(error: ValidationError) -> list[ErrorDetails]:
    """The faults but for what only follows from one further in, such as a list cut short by it."""
    errors = error.errors(include_url=False)
    places = [each["loc"] for each in errors]
    outer = {place[:depth] for place in places for depth in range(len(place))}
    return [each for each in errors if each["loc"] not in outer]


def sentence(error: ErrorDetails) -> str:
    """What is wrong, what was expected, and what was found unless that may be a secret."""
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "value_error":
        problem = str(context.get("error", error["msg"]))
    elif kind in _EXPECTED:
        problem = _EXPECTED[kind].format(**context)
    else:
        problem = "expected " + error["msg"].removeprefix("Input should be ")
    shown = "" if _is_near_a_secret(error["loc"]) else _shown(_without_secrets(error))
    told = kind in {"missing", "extra_forbidden", "invalid_key"} or problem.startswith(shown)
    return problem if told else f"{problem}, got {shown}"


def _is_bounded(root: yaml.Node) -> bool:
    """Whether the file is not too large with each alias counted as what it stands for."""
    left, count = [root], 0
    while left:
        count += 1
        if count > _MOST_NODES:
            return False
        node = left.pop()
        if isinstance(node, yaml.MappingNode):
            left += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
    return True


def _duplicates(node: yaml.Node) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    found.append((key.start_mark.line + 1, _printable(key.value)))
                seen.add(key.value)
            found += _duplicates(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found += _duplicates(item)
    return found


def _describe(error: ErrorDetails, root: yaml.Node) -> tuple[int, str]:
    place, line = _place(error["loc"], root)
    return line, f"{place or 'the file'}: {sentence(error)}"


def _is_near_a_secret(location: _Location) -> bool:
    """Whether a person may have put a secret there by mistake: it must not get into a log."""
    last = str(location[-1]) if location else ""
    return "headers" in location or last.endswith(("_env", "_file"))


def _without_secrets(error: ErrorDetails) -> object:
    """What was found, of an address as much as is surely no secret; an empty tuple for nothing."""
    place, found = error["loc"], error["input"]
    if not isinstance(found, str) or not place:
        return found
    if place[-1] == "confirm_url":
        return () if "@" in found else re.split(r"[?#]", found)[0]
    if place in {("prometheus",), ("prometheus", "url")}:
        # Tokens stand in paths, too, and a single word may be one in the wrong place.
        server = None if "@" in found else _SERVER.match(found)
        return server[1] if server and ":" in server[1] else ()
    return found


def _shown(value: object) -> str:
    """The value as it may stand in a message; nothing for what is long, nested or secret."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return ""
    if value is not None and not isinstance(value, str | int | float):
        return ""
    text = repr(value)
    return text if len(text) <= _SHOWN and not _CREDENTIALS.search(text) else ""


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


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
        text += f".{_printable(part)}" if text else _printable(part)
    return text, line


def _children(node: yaml.Node) -> list[tuple[str, tuple[int, yaml.Node]]]:
    if not isinstance(node, yaml.MappingNode):
        return []
    return [
        (key.value, (key.start_mark.line + 1, value))
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode)
    ]


def _is_union_tag(part: str, location: _Location, node: yaml.Node) -> bool:
    """Whether pydantic put the kind of a section into the location; it is no key of the file."""
    tags = [value.value for key, (_, value) in _children(node) if key in {"name", "mode"}]
    return part in tags and part != location[-1]
