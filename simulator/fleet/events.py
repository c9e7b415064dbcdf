"""What happens to servers while a run goes on. Bursts are the workload's matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from simulator.fleet import changing
from simulator.fleet.layout import BLACK_HOLE, DEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.fleet.layout import World


@dataclass(frozen=True, slots=True)
class SetSpeed:
    """From its next step on the engine runs at `speed`: 1 is that of its parameters."""

    at_s: float
    server: int
    speed: float


@dataclass(frozen=True, slots=True)
class SetKvBlocks:
    """Another tenant takes KV blocks, or gives them back."""

    at_s: float
    server: int
    num_gpu_blocks: int


@dataclass(frozen=True, slots=True)
class Die:
    """The process is gone: what is in flight is cut, connections are refused."""

    at_s: float
    server: int


@dataclass(frozen=True, slots=True)
class TurnBlackHole:
    """The engine is dead behind a live API: what is in flight is cut, the rest answered 500."""

    at_s: float
    server: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """The engine makes no step and its gauges stand still, while its API accepts requests."""

    at_s: float
    server: int


@dataclass(frozen=True, slots=True)
class Recover:
    """A frozen engine goes on; a dead one or a black hole returns as a new, empty process."""

    at_s: float
    server: int


@dataclass(frozen=True, slots=True)
class Join:
    """A server begins to exist.

    Attributes:
        at_s: when.
        server: which one.
        discovered: until then nobody knows of it: Prometheus has no target, no upstream names it;
            a fixed upstream is edited and reloaded when it joins. Otherwise it is configured
            everywhere from the start and refuses connections until then.
    """

    at_s: float
    server: int
    discovered: bool = True


Event: TypeAlias = SetSpeed | SetKvBlocks | Die | TurnBlackHole | Freeze | Recover | Join


def rolling_restart(
    servers: Sequence[int], start_s: float, down_s: float, gap_s: float
) -> tuple[Event, ...]:
    """Restart servers one after the other: each is down for `down_s`, and then up for `gap_s`."""
    events: list[Event] = []
    for turn, server in enumerate(servers):
        begin_s = start_s + turn * (down_s + gap_s)
        events += [Die(begin_s, server), Recover(begin_s + down_s, server)]
    return tuple(events)


def happen(world: World, event: Event) -> None:
    """Let an event happen to the world, at its present time."""
    now_s = float(world.clock[0]["now"])
    match event:
        case SetSpeed():
            changing.set_speed(world, event.server, event.speed)
        case SetKvBlocks():
            changing.resize(world, event.server, event.num_gpu_blocks, now_s)
        case Die():
            changing.fail(world, event.server, DEAD, now_s)
        case TurnBlackHole():
            changing.fail(world, event.server, BLACK_HOLE, now_s)
        case Freeze():
            changing.freeze(world, event.server, now_s)
        case Recover() | Join():
            changing.recover(world, event.server, now_s)
