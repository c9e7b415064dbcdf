"""What can be changed in a server while it runs: its speed, its KV cache, and what ails it."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from simulator.parameters import RESERVED_BLOCKS

# Below this a 20 ms step takes 20 s, and a change of speed waits for the step's end.
_SLOWEST = 0.001
# Above this the event loop cannot keep the pace of any preset.
_FASTEST = 100.0
# Blocks of 16 tokens for a hundred million tokens: beyond any GPU.
_MOST_BLOCKS = 10_000_000


class Fault(enum.StrEnum):
    """An illness of the server, as its clients and Prometheus see it."""

    NONE = "none"
    HTTP_500 = "http_500"
    """Every completion is answered 500 at once: a black hole that looks idle."""
    HANG = "hang"
    """New completions are accepted and never answered; /health and /metrics are well."""
    FREEZE_ENGINE = "freeze_engine"
    """The engine stops between two tokens; /health is 200, and the gauges stay as they were."""
    SLEEP = "sleep"
    """The engine sleeps at level 1: its KV cache is gone, and every request waits."""


class SettingsError(ValueError):
    """A body for /simulator that cannot be followed; `faults` lists everything wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Settings:
    """The present settings.

    Attributes:
        speed: how many times faster than its preset the engine steps.
        num_gpu_blocks: size of the KV cache in blocks, the reserved one included.
        fault: the illness simulated.
    """

    speed: float
    num_gpu_blocks: int
    fault: Fault = Fault.NONE

    def as_json(self) -> dict[str, object]:
        """Return the settings as POST /simulator takes them."""
        return asdict(self)


def changed_settings(present: Settings, body: object) -> Settings:
    """Return the present settings with what a JSON body changes.

    Raises:
        SettingsError: naming every unknown key and every value out of range.
    """
    if not isinstance(body, dict):
        raise SettingsError(["body: want a JSON object"])
    known = [field.name for field in fields(Settings)]
    faults = [f"{key}: unknown, want one of {', '.join(known)}" for key in body if key not in known]
    changes: dict[str, Any] = {}
    if "speed" in body:
        speed = body["speed"]
        if _is_number(speed) and _SLOWEST <= speed <= _FASTEST:
            changes["speed"] = float(speed)
        else:
            faults.append(f"speed: want a number from {_SLOWEST} to {_FASTEST:.0f}")
    if "num_gpu_blocks" in body:
        blocks = body["num_gpu_blocks"]
        if type(blocks) is int and RESERVED_BLOCKS < blocks <= _MOST_BLOCKS:
            changes["num_gpu_blocks"] = blocks
        else:
            faults.append(
                f"num_gpu_blocks: want an integer from {RESERVED_BLOCKS + 1} to {_MOST_BLOCKS}"
            )
    if "fault" in body:
        if body["fault"] in list(Fault):  # a list, for what cannot be hashed
            changes["fault"] = Fault(body["fault"])
        else:
            faults.append(f"fault: want one of {', '.join(Fault)}")
    if faults:
        raise SettingsError(faults)
    return replace(present, **changes)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
