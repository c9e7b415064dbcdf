"""Reads the keys of the configuration file off the models: words, bounds, defaults."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import BeforeValidator, PlainSerializer
from pydantic.fields import FieldInfo

from controller.app.config import Config, Section
from controller.app.values import Words
from controller.core.policy import Policy

_PLAIN = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Policy: "mapping with a `name`",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the file.

    Attributes:
        name: Without the section.
        words: Its type.
        default: As one writes it; "" for none, None where the key is required.
        bounds: What its value must keep; "" for nothing.
        description: What it means.
        field: Its field in the model.
    """

    name: str
    words: str
    default: str | None
    bounds: str
    description: str
    field: FieldInfo

    @property
    def example(self) -> object:
        """A value to show where there is no default; None for none."""
        return self.field.examples[0] if self.field.examples else None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A section of the file.

    Attributes:
        path: Such as `pools[].health`; "" for the file itself.
        sentence: What it is.
        keys: Its keys, in the order of the model.
    """

    path: str
    sentence: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a policy, as its dataclass describes it."""

    name: str
    words: str
    default: object
    bounds: str
    description: str


def keys_of(model: type[Section]) -> tuple[Key, ...]:
    """The keys of one section.

    Raises:
        ValueError: A key has no description.
    """
    found = []
    for name, field in model.model_fields.items():
        if not field.description:
            raise ValueError(f"{model.__name__}.{name}: has no description")
        found.append(
            Key(name, words_of(field), default_of(field), _bounds(field), field.description, field)
        )
    return tuple(found)


def sections(model: type[Section] = Config, path: str = "") -> Iterator[Mapped]:
    """The section and all within it, outer ones first, in the order of the models."""
    yield Mapped(path, _first_sentence(model), keys_of(model))
    for name, field in model.model_fields.items():
        variants, _ = variants_of(field)
        for variant, inner in zip(variants, paths_of(name, field, path), strict=True):
            yield from sections(variant, inner)


def paths_of(name: str, field: FieldInfo, path: str) -> list[str]:
    """The paths of the sections that a key can hold, within the section at `path`."""
    variants, many = variants_of(field)
    inner = f"{path}.{name}".lstrip(".") + ("[]" if many else "")
    if len(variants) < 2:  # noqa: PLR2004 - one has no need to be told from others
        return [inner for _ in variants]
    return [f"{inner} with mode: {_tag(each)}" for each in variants]


def variants_of(field: FieldInfo) -> tuple[list[type[Section]], bool]:
    """The sections that a key can hold, and whether it holds a list of them."""
    base, _ = _bare(field.annotation, field.metadata)
    many = get_origin(base) is tuple
    base = get_args(base)[0] if many else base
    kinds = get_args(base) if get_origin(base) in {Union, UnionType} else (base,)
    return [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, Section)], many


def _tag(variant: type[Section]) -> str:
    return str(get_args(variant.model_fields["mode"].annotation)[0])


def words_of(field: FieldInfo) -> str:
    """The type of a key's value."""
    return _words(field.annotation, field.metadata)


def _words(annotation: Any, metadata: list[Any] | None = None) -> str:  # noqa: ANN401 - any type
    base, extra = _bare(annotation, metadata or [])
    for each in extra:
        if isinstance(each, Words):
            return each.words
    if get_origin(base) is Literal:
        return _choice(get_args(base))
    if inspect.isclass(base) and issubclass(base, StrEnum):
        return _choice([each.value for each in base])
    if get_origin(base) is tuple:
        return f"list of {_words(get_args(base)[0])}s"
    if get_origin(base) is dict:
        of, to = map(_words, get_args(base))
        return f"mapping of {of}s to {to}s"
    return _PLAIN.get(base, "mapping")


def _bare(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any]]:  # noqa: ANN401 - any type
    """The type without what is said about it, and all that is said."""
    if get_origin(annotation) is Annotated:
        base, *more = get_args(annotation)
        return _bare(base, [*more, *metadata])
    if get_origin(annotation) in {Union, UnionType}:
        kinds = [each for each in get_args(annotation) if each is not NoneType]
        if len(kinds) == 1:
            return _bare(kinds[0], metadata)
    return annotation, metadata


def _choice(values: Any) -> str:  # noqa: ANN401 - any sequence of texts
    *most, last = [f"`{value}`" for value in values]
    return f"{', '.join(most)} or {last}" if most else last


def written(field: FieldInfo, value: object) -> object:
    """A value of the model as it stands in the file."""
    _, extra = _bare(field.annotation, field.metadata)
    for each in extra:
        if isinstance(each, PlainSerializer):
            value = each.func(value)  # type: ignore[call-arg] # ours take the value alone
    return str(value) if isinstance(value, Path | StrEnum) else value


def default_of(field: FieldInfo) -> str | None:
    """The default as one writes it; None where there is none."""
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Section) or value is None:
        return ""
    plain = written(field, value)
    if isinstance(plain, dict) and "name" in plain:
        return f"name: {plain['name']}"
    if isinstance(plain, bool):
        return str(plain).lower()
    return str(plain)


def _bounds(field: FieldInfo) -> str:
    _, extra = _bare(field.annotation, field.metadata)
    told = []
    for each in extra:
        match each:
            case Gt(gt=bound):
                told.append(f"more than {_bound(field, bound)}")
            case Ge(ge=bound):
                told.append(f"at least {_bound(field, bound)}")
            case Le(le=bound):
                told.append(f"at most {_bound(field, bound)}")
            case MinLen():
                told.append("not empty")
            case _ if getattr(each, "pattern", None):
                told.append(f"matches `{each.pattern}`")
            case _:
                pass
    return ", ".join(told)


def _bound(field: FieldInfo, bound: object) -> object:
    # Nothing is nothing in any unit.
    return written(field, bound) if bound else 0


def syntax() -> Mapping[str, str]:
    """What the check of each kind of value says it expects, by the words for the kind."""
    found: dict[str, str] = {}
    for section in sections():
        for key in section.keys:
            for part in _parts(key.field.annotation, key.field.metadata):
                kinds = [each.words for each in part if isinstance(each, Words)]
                checks = [each.func for each in part if isinstance(each, BeforeValidator)]
                for kind, check in zip(kinds, checks, strict=False):
                    found.setdefault(kind, _expected(check))
    return found


def _parts(annotation: Any, metadata: list[Any]) -> Iterator[list[Any]]:  # noqa: ANN401 - any type
    base, extra = _bare(annotation, metadata)
    yield extra
    for each in get_args(base):
        if get_origin(base) in {dict, tuple}:
            yield from _parts(each, [])


def _expected(check: Any) -> str:  # noqa: ANN401 - a validator of any signature
    try:
        check(object())
    except ValueError as error:
        return str(error).removeprefix("expected ")
    raise ValueError(f"{check.__name__}: accepts anything")


def parameters(policy: type[Policy]) -> tuple[Parameter, ...]:
    """The parameters of a policy.

    Raises:
        ValueError: One of them is not described.
    """
    described = _attributes(policy)
    found = []
    for field in fields(policy):  # type: ignore[arg-type] # each policy is a dataclass
        if field.name not in described:
            raise ValueError(f"{policy.__name__}.{field.name}: is not among its Attributes")
        if field.default is MISSING:
            raise ValueError(f"{policy.__name__}.{field.name}: has no default")
        annotation = inspect.get_annotations(policy)[field.name]
        found.append(
            Parameter(
                field.name,
                _words(annotation),
                field.default,
                _refused(policy, field.name, field.default),
                described[field.name],
            )
        )
    return tuple(found)


def _refused(policy: type[Policy], name: str, default: object) -> str:
    """What the policy says it expected of a value that cannot be."""
    impossible = (-1e9,) if isinstance(default, tuple) else -1e9
    try:
        policy(**{name: impossible})
    except ValueError as error:
        told = re.findall(rf"(?:^|; ){name}: expected (.*?)(?:, got [^;]*)?(?=; |$)", str(error))
        return str(told[0]) if told else ""
    return ""


def _attributes(kind: type) -> dict[str, str]:
    """What the docstring says of each attribute, in a sentence."""
    _, _, listed = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE):
        sentence = " ".join(text.split()).rstrip(".")
        found[name] = sentence[:1].upper() + sentence[1:] + "."
    return found


def _first_sentence(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
