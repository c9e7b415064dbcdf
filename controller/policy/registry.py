"""The policies by name. One more policy is one file and one line here."""

from controller.core.policy import Policy
from controller.policy.capacity import Capacity
from controller.policy.equal import Equal
from controller.policy.ladder import Ladder

REGISTRY: dict[str, type[Policy]] = {
    Capacity.name: Capacity,
    Equal.name: Equal,
    Ladder.name: Ladder,
}
