"""What is carried from tick to tick and kept across restarts.

What was observed advances at every tick. What was applied advances only when Nginx confirmed it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.core.model import Server
from controller.core.policy import PolicyMemory
from controller.core.reasons import BackendReason


@dataclass(frozen=True, slots=True)
class HealthMemory:
    """The medical record of one backend.

    Attributes:
        strikes: Consecutive ticks with the same symptom.
        symptom: That symptom; None when the last tick showed none.
        ejected: The illness it is ejected for; None while it serves.
        until_s: Unix time before which it does not return.
        expires_s: Unix time after which it returns even if nothing is known of it any more.
        hold_s: Length of its last hold in seconds, doubled at a relapse; 0 for none yet.
        returned_s: Unix time of its last return; 0 for none.
    """

    strikes: int = 0
    symptom: BackendReason | None = None
    ejected: BackendReason | None = None
    until_s: float = 0.0
    expires_s: float = 0.0
    hold_s: float = 0.0
    returned_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """What is known of one pool.

    Attributes:
        policy: The policy's own memory.
        weights: The last weight that the policy gave each backend.
        health: Records of backends that are or lately were ill.
        seen_s: When each discovered backend was last in Prometheus (Unix seconds).
        blind_since_s: When the pool's snapshots stopped being fit to act on; None when they are.
    """

    policy: PolicyMemory = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    health: Mapping[str, HealthMemory] = field(default_factory=dict)
    seen_s: Mapping[str, float] = field(default_factory=dict)
    blind_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What Nginx confirmed.

    Attributes:
        generation: The generation it serves.
        at_s: Unix time of the confirmation; None when it was adopted and the time is unknown.
        pools: The servers of each pool.
        endpoints: The `ip:port` that was rendered for each address whose host is a name.
    """

    generation: str
    at_s: float | None
    pools: Mapping[str, tuple[Server, ...]]
    endpoints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A generation that Nginx refused.

    Attributes:
        generation: The refused generation.
        until_s: Unix time before which it is not tried again.
        hold_s: Length of this hold in seconds; the next refusal of the same file doubles it.
        detail: What Nginx said.
    """

    generation: str
    until_s: float
    hold_s: float
    detail: str


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Reloads in a row that Nginx was told of and did not confirm.

    Attributes:
        at_s: Unix time of the last one.
        failures: How many.
    """

    at_s: float
    failures: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything the controller remembers."""

    pools: Mapping[str, PoolMemory] = field(default_factory=dict)
    applied: Applied | None = None
    quarantine: Quarantine | None = None
    unconfirmed: Unconfirmed | None = None
