"""What happens in a scenario, as its file says it, held against the pool and the duration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from simulator.fleet import events as fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import ValidationInfo

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A table of the file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Instant(Section):
    """Something that happens to one server at one time."""

    at_s: Seconds
    server: int

    @field_validator("at_s")
    @classmethod
    def _within_the_run(cls, at_s: float, info: ValidationInfo) -> float:
        duration_s = (info.context or {}).get("duration_s")
        if duration_s is not None and at_s >= duration_s:
            raise ValueError(f"expected less than the duration of {duration_s:g} s")
        return at_s

    @field_validator("server")
    @classmethod
    def _of_the_pool(cls, server: int, info: ValidationInfo) -> int:
        return _server_of_the_pool(server, info)


class Throttle(Instant):
    """The engine runs at `speed` from now on; 1 is that of its parameters."""

    kind: Literal["speed"]
    speed: float = Field(gt=0, le=10)

    def events(self) -> Sequence[fleet.Event]:
        """The fleet's events."""
        return [fleet.SetSpeed(self.at_s, self.server, self.speed)]


class Tenant(Instant):
    """The KV cache has so many blocks from now on."""

    kind: Literal["kv_blocks"]
    blocks: int = Field(ge=2)

    def events(self) -> Sequence[fleet.Event]:
        """The fleet's events."""
        return [fleet.SetKvBlocks(self.at_s, self.server, self.blocks)]


_ILLNESSES: Final[Mapping[str, Callable[[float, int], fleet.Event]]] = {
    "die": fleet.Die,
    "black_hole": fleet.TurnBlackHole,
    "freeze": fleet.Freeze,
    "recover": fleet.Recover,
}


class Illness(Instant):
    """A server dies, answers 500 at once, freezes, or is well again."""

    kind: Literal["die", "black_hole", "freeze", "recover"]

    def events(self) -> Sequence[fleet.Event]:
        """The fleet's events."""
        return [_ILLNESSES[self.kind](self.at_s, self.server)]


class Arrival(Instant):
    """A server begins to exist; until then nobody knows of it."""

    kind: Literal["join"]

    def events(self) -> Sequence[fleet.Event]:
        """The fleet's events."""
        return [fleet.Join(self.at_s, self.server)]


class RollingRestart(Section):
    """Servers restart one after the other: down for `down_s`, then up for `gap_s`."""

    kind: Literal["rolling_restart"]
    at_s: Seconds
    servers: tuple[int, ...]
    down_s: float = Field(gt=0)
    gap_s: Seconds

    @field_validator("servers")
    @classmethod
    def _of_the_pool(cls, servers: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if not servers:
            raise ValueError("expected at least one")
        for server in servers:
            _server_of_the_pool(server, info)
        return servers

    def events(self) -> Sequence[fleet.Event]:
        """The fleet's events."""
        return fleet.rolling_restart(self.servers, self.at_s, self.down_s, self.gap_s)


class Burst(Section):
    """For a while `factor` times as many requests arrive."""

    start_s: Seconds
    length_s: float = Field(gt=0)
    factor: int = Field(ge=2)


Happening = Annotated[
    Throttle | Tenant | Illness | Arrival | RollingRestart, Field(discriminator="kind")
]


def _server_of_the_pool(server: int, info: ValidationInfo) -> int:
    servers = (info.context or {}).get("servers")
    if servers is not None and not 0 <= server < servers:
        raise ValueError(f"expected a server of the pool, 0 to {servers - 1}")
    return server
