"""What several modules of integration tests share."""

from collections.abc import Iterator

import pytest

from lab.incidents.loading import Replay, replay
from lab.prometheus import RunningPrometheus
from tests.integration.prometheus_targets import scraped_targets


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrometheus]:
    """A Prometheus that has scraped captures, old engines and broken targets."""
    with scraped_targets(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """A Prometheus that holds two hours of a fleet with incidents."""
    with replay(tmp_path_factory.mktemp("world")) as running:
        yield running
