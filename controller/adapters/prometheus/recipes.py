"""How a signal is made of series, as data: from one recipe follow its value and its age."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Aggregate = Literal["sum", "max", "min"]


@dataclass(frozen=True, slots=True)
class Series:
    """A metric of an engine.

    Attributes:
        name: Its name.
        matchers: Label matchers that are always part of it, in PromQL.
        has_model: Whether it carries `model_name`, so that a pool's model narrows it.
        distinct_by: Labels that tell the parts of one backend apart; series that differ in other
            labels only are copies (a tensor-parallel rank reports what its neighbours report), and
            the largest stands for all. None when no series is a copy.
    """

    name: str
    matchers: str = ""
    has_model: bool = True
    distinct_by: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One signal of one backend, made of the series of its engines, ranks and processes.

    Attributes:
        any_of: Names of the same thing, newest first; per backend the first that exists counts.
        aggregate: How the series of one backend become one value.
        rate: Whether the series are counters and the signal their increase per second.
        plus: Other counters that are added; only for rates.
        zero_with: Series whose presence makes a missing value a zero.
    """

    any_of: tuple[Series, ...]
    aggregate: Aggregate = "sum"
    rate: bool = False
    plus: tuple[Series, ...] = ()
    zero_with: Series | None = None

    def dated_by(self) -> tuple[Series, ...]:
        """The series whose samples date the signal, first found per backend."""
        first = (self.zero_with,) if self.zero_with else self.any_of
        return (*first, *self.plus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one kind of engine publishes.

    Attributes:
        name: As the configuration says it.
        recipes: By signal name.
        landmark: A series that every engine of this kind has, busy or idle; None for `custom`.
    """

    name: str
    recipes: Mapping[str, Recipe]
    landmark: Series | None
