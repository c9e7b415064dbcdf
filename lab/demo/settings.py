"""What the environment can change about the demo."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from controller.policy.capacity import Capacity
from controller.policy.registry import REGISTRY

SECONDS = 150.0
# Below this, starting and finishing leave no time for a load in which anything could be learned.
SHORTEST_S = 60.0
LONGEST_S = 3600.0


class SettingsError(ValueError):
    """An environment variable cannot be used; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The demo's settings.

    Attributes:
        seconds: How long the whole run may take.
        policy: Name of the controller's policy.
    """

    seconds: float
    policy: str


def read(environment: Mapping[str, str]) -> Settings:
    """Read DEMO_SECONDS and DEMO_POLICY; an empty variable counts as unset.

    Raises:
        SettingsError: One of them has a value that cannot be used.
    """
    policy = environment.get("DEMO_POLICY") or Capacity.name
    if policy not in REGISTRY:
        raise SettingsError(f"DEMO_POLICY={policy}: expected one of {', '.join(sorted(REGISTRY))}")
    return Settings(_seconds(environment.get("DEMO_SECONDS") or str(SECONDS)), policy)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise SettingsError(
            f"DEMO_SECONDS={text}: expected a number of seconds"
            f" from {SHORTEST_S:g} to {LONGEST_S:g}"
        )
    return seconds
