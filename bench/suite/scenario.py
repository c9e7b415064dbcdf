"""A scenario: a claim, what is played, and the ranges that the claim stands for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from bench.suite.contenders import CONTENDERS
from bench.suite.figures import FIGURES
from bench.suite.happenings import Burst, Happening, Seconds, Section
from bench.suite.pools import POOLS
from bench.suite.traces import TRACES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationInfo


def _one_of(names: Iterable[str]) -> AfterValidator:
    known = tuple(names)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"expected one of {', '.join(known)}")
        return name

    return AfterValidator(check)


PoolName = Annotated[str, _one_of(POOLS)]
TraceName = Annotated[str, _one_of(TRACES)]
FigureName = Annotated[str, _one_of(FIGURES)]
ContenderName = Annotated[str, _one_of(CONTENDERS)]


class Expectation(Section):
    """A figure of a policy that lies in a range, in each cell of the scenario.

    Attributes:
        figure: which one.
        policy: of which policy.
        against: then the figure is divided by that of this policy, seed by seed.
        loads: only in the cells of these loads; empty for all.
        low: the least value that keeps the expectation.
        high: the largest one.
    """

    figure: FigureName
    policy: ContenderName
    against: ContenderName | None = None
    loads: tuple[float, ...] = ()
    low: float = Field(default=0.0, allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @field_validator("loads")
    @classmethod
    def _of_the_scenario(cls, loads: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        known = (info.context or {}).get("loads")
        if known is not None and (strange := set(loads) - set(known)):
            raise ValueError(f"expected loads of the scenario, not {sorted(strange)}")
        return loads

    @field_validator("high")
    @classmethod
    def _not_below_low(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("low")
        if low is not None and high < low:
            raise ValueError(f"expected at least low, {low:g}")
        return high


class Scenario(Section):
    """What is compared, and what is expected of it.

    Attributes:
        name: as the file is called.
        claim: what the scenario shows, in a sentence.
        pool: a name of `bench.suite.pools`.
        trace: a name of `bench.suite.traces`.
        arrivals: `merged` puts copies of the trace side by side, `compressed` plays it faster,
            so that its bursts become shorter and higher.
        loads: requests per second as shares of what the pool carries at most; a cell each.
        quick_loads: those of the quick suite.
        seeds: each draws another part of the trace, and all other chance.
        duration_s: for how long requests arrive.
        warmup_s: until when they are not counted.
        recovery_from_s: the event after which the time until the SLO is back is taken.
        burst: additional requests.
        events: what happens to servers.
        expect: what the claim means in figures.
    """

    name: str
    claim: str
    pool: PoolName
    trace: TraceName
    arrivals: Literal["merged", "compressed"] = "merged"
    duration_s: float = Field(default=900.0, gt=0, le=86_400)
    warmup_s: Seconds = 60.0
    loads: tuple[Annotated[float, Field(gt=0, le=3)], ...]
    quick_loads: tuple[float, ...] = ()
    seeds: tuple[Annotated[int, Field(ge=0)], ...]
    recovery_from_s: Seconds | None = None
    burst: Burst | None = None
    events: tuple[Happening, ...] = ()
    expect: tuple[Expectation, ...]

    @field_validator("name")
    @classmethod
    def _as_the_file(cls, name: str, info: ValidationInfo) -> str:
        stem = (info.context or {}).get("stem")
        if stem is not None and name != stem:
            raise ValueError(f"expected the name of the file, {stem}")
        return name

    @field_validator("claim")
    @classmethod
    def _a_sentence(cls, claim: str) -> str:
        if not re.fullmatch(r"[A-Z].*\.", claim):
            raise ValueError("expected a sentence with a full stop")
        return claim

    @field_validator("warmup_s", "recovery_from_s")
    @classmethod
    def _before_the_end(cls, at_s: float | None, info: ValidationInfo) -> float | None:
        duration_s = info.data.get("duration_s")
        if at_s is not None and duration_s is not None and at_s >= duration_s:
            raise ValueError(f"expected less than the duration of {duration_s:g} s")
        return at_s

    @field_validator("loads", "seeds", "expect")
    @classmethod
    def _some(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        # A bound on the length would be called missed when every single entry is at fault.
        if not values:
            raise ValueError("expected at least one")
        return values

    @field_validator("loads", "seeds")
    @classmethod
    def _each_once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) != len(values):
            raise ValueError("expected each value once")
        return values

    @field_validator("quick_loads")
    @classmethod
    def _among_the_loads(cls, quick: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if strange := set(quick) - set(info.data.get("loads", quick)):
            raise ValueError(f"expected loads of the scenario, not {sorted(strange)}")
        return quick
