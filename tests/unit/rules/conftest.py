"""What rules may read."""

import pytest

from scripts.inventory import Metric, inventory
from tests.unit.rules.known import Known, known
from tests.unit.rules.rule_files import rules


@pytest.fixture(scope="session")
def metrics() -> dict[str, Metric]:
    """The committed inventory."""
    return inventory()


@pytest.fixture(scope="session")
def offered(metrics: dict[str, Metric]) -> Known:
    """The series of the inventory and of all recordings."""
    return known(metrics, rules("record"))
