"""Which alerts fire in two hours with incidents, and which do not."""

import pytest

from lab.incidents.asking import over
from lab.incidents.loading import Replay
from lab.incidents.rules import Firing
from lab.incidents.timetable import INCIDENTS
from tests.integration.incident_signs import LINGERS_MIN, OBJECTIVE, TOLD

pytestmark = pytest.mark.integration

BEFORE_S = 180


def explained(firing: Firing) -> bool:
    """Whether incidents are the reason that an alert began, and that it went on."""
    spans = [
        (INCIDENTS[name].start_s(), INCIDENTS[name].end_s() + 60 * LINGERS_MIN)
        for name, told in TOLD.items()
        if firing.name in {each for each, _ in told.must} | told.may
    ]
    begun = any(begins <= firing.first_s <= late for begins, late in spans)
    ended = firing.name in OBJECTIVE or any(b <= firing.last_s <= late for b, late in spans)
    return begun and ended


@pytest.mark.parametrize("name", TOLD)
def test_an_incident_raises_its_alerts_and_not_before_it(world: Replay, name: str) -> None:
    """Each alert that an incident is to raise begins to fire after its start and during it."""
    begins, ends = INCIDENTS[name].start_s(), INCIDENTS[name].end_s()
    for alert, labels in TOLD[name].must:
        of = ",".join(f'{k}="{v}"' for k, v in {"alertname": alert, **labels}.items())
        series = over(
            *(world.server.url, f'ALERTS{{alertstate="firing",{of}}}'),
            *(world.start_s, world.end_s, 15),
        )
        times = {at_s for one in series for at_s, _ in one.points}
        assert any(begins <= at_s <= ends + 60 for at_s in times), alert
        assert not [at_s for at_s in times if begins - BEFORE_S <= at_s < begins], alert


def test_no_alert_fires_without_an_incident(world: Replay) -> None:
    """Nothing but the heartbeat fires that none of the incidents explains."""
    unexplained = [
        f"{one.name} {dict(one.labels)} {(one.first_s - world.start_s) / 60:.1f} min"
        for one in world.firings
        if one.name != "Watchdog" and not explained(one)
    ]
    assert not unexplained


def test_the_heartbeat_never_stops(world: Replay) -> None:
    """Watchdog fires from the first to the last evaluation."""
    beats = [(one.first_s, one.last_s) for one in world.firings if one.name == "Watchdog"]
    assert beats == [(world.start_s, world.end_s)]
