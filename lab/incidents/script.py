"""The causes of the incidents: what is done to the world, and undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.incidents.timetable import INCIDENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.incidents.timetable import Incident
    from lab.incidents.world import World

_THROTTLED = 2.5
# Three conversations about long documents hold so much of a KV cache.
_FOREIGN_SEQUENCES, _FOREIGN_SHARE = 3, 0.9
_OVERLOAD, _BURN = 2.4, 2.15


def play(world: World, minute: float) -> None:
    """Begin and end what is due at this minute, counted from the start of the recording."""
    for incident in INCIDENTS.values():
        act = _ACTS[incident.name]
        if incident.start_min == minute:
            act(world, incident, begins=True)
        elif incident.end_min == minute:
            act(world, incident, begins=False)


def _throttle(world: World, incident: Incident, *, begins: bool) -> None:
    world.server(incident.backend).engine.slow = _THROTTLED if begins else 1.0


def _fill_cache(world: World, incident: Incident, *, begins: bool) -> None:
    engine = world.server(incident.backend).engine
    engine.foreign_sequences = _FOREIGN_SEQUENCES if begins else 0
    engine.foreign_tokens = int(_FOREIGN_SHARE * engine.hardware.kv_tokens) if begins else 0


def _freeze(world: World, incident: Incident, *, begins: bool) -> None:
    if begins:
        world.server(incident.backend).engine.frozen = True
    else:
        world.stop(incident.backend)
        world.server(incident.backend).start(world.now_s)


def _fail(world: World, incident: Incident, *, begins: bool) -> None:
    world.server(incident.backend).failing = begins


def _take_down(world: World, incident: Incident, *, begins: bool) -> None:
    if begins:
        world.stop(incident.backend)
    else:
        world.server(incident.backend).start(world.now_s)


def _blind(world: World, _incident: Incident, *, begins: bool) -> None:
    world.controlled.source.blind = begins


def _break_configuration(world: World, incident: Incident, *, begins: bool) -> None:
    world.controlled.actuator.broken = begins
    _throttle(world, incident, begins=begins)


def _drift(world: World, _incident: Incident, *, begins: bool) -> None:
    if begins:
        world.nginx.load(world.first_file)
    world.controlled.actuator.deaf = begins


def _crowd(factor: float) -> Callable[..., None]:
    def act(world: World, incident: Incident, *, begins: bool) -> None:
        world.crowds[incident.pool] = factor if begins else 1.0

    return act


_ACTS: Mapping[str, Callable[..., None]] = {
    "throttle": _throttle,
    "kv-full": _fill_cache,
    "stalled": _freeze,
    "black-hole": _fail,
    "down": _take_down,
    "blind": _blind,
    "refused": _break_configuration,
    "drift": _drift,
    "overload": _crowd(_OVERLOAD),
    "burn": _crowd(_BURN),
    "slow-sglang": _throttle,
}
