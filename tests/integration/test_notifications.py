"""From an incident in a simulated backend to whoever is told of it, and told that it is over."""

import contextlib
import http.client
import json
import signal
from collections.abc import Iterator

import pytest

from lab.simulators import RunningSimulator
from tests.integration.notified import Site, site, until

pytestmark = pytest.mark.integration
LINKS = {
    "runbook_url": "https://git.example/lb/blob/main",
    "grafana_url": "https://grafana.example",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests of this module."""
    with site(tmp_path_factory.mktemp("notified"), LINKS) as running:
        yield running


@pytest.fixture
def here(shared: Site) -> Site:
    """The site at rest, with nothing told yet."""
    shared.rest()
    return shared


@contextlib.contextmanager
def down(*backends: RunningSimulator) -> Iterator[None]:
    """Backends that answer nobody, until the context ends."""
    for backend in backends:
        backend.process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for backend in backends:
            backend.process.signal(signal.SIGCONT)


@contextlib.contextmanager
def frozen(backend: RunningSimulator) -> Iterator[None]:
    """A backend whose engine stands still with a request in it, until the context ends."""
    connection = http.client.HTTPConnection(backend.address, timeout=10)
    body = {"prompt": "x" * 40, "max_tokens": 900, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    until(lambda: backend.requests_inside() == 1)
    backend.change(fault="freeze_engine")
    try:
        yield
    finally:
        backend.change(fault="none")
        connection.close()


def test_backend_that_goes_down_is_told_and_so_is_its_return(here: Site) -> None:
    """Mail and webhook say what is down, since when and where to look; then, that it is over."""
    backend, other = here.backends
    with down(backend):
        until(lambda: here.told("BackendDown", "firing", backend.address))
        until(lambda: here.mails("[FIRING 1] warning BackendDown"))
    (mail,) = here.mails("[FIRING 1] warning BackendDown")
    assert mail.recipients == ("oncall@example.com",)
    assert mail.subject == (
        f"[FIRING 1] warning BackendDown: Backend {backend.address} of simulated is down"
    )
    where = (
        f"https://grafana.example/d/lb-backend?var-instance={backend.address.replace(':', '%3A')}"
    )
    for part in (
        "FIRING warning BackendDown\n",
        "it last answered at 20",
        "\nModel: simulated\n",
        f"\nInstance: {backend.address}\n",
        "\nSince: 20",
        "\nRunbook: https://git.example/lb/blob/main/docs/runbook/BackendDown.md\n",
        f"\nDashboard: {where}&var-model=simulated\n",
        # Prometheus puts the name of this host before its port.
        f":{here.prometheus.url.rpartition(':')[2]}/graph?g0.expr=",
        f"\nSilence: {here.alertmanager.url}/#/silences/new?filter=",
    ):
        assert part in mail.text.replace("\r", "")
    assert f'<a href="{where}&amp;var-model=simulated"' in mail.html
    assert other.address not in mail.text

    until(lambda: here.told("BackendDown", "resolved", backend.address))
    until(lambda: here.mails("[RESOLVED] warning BackendDown: "))
    (mail,) = here.mails("[RESOLVED] warning BackendDown: ")
    assert "\nUntil: 20" in mail.text.replace("\r", "")


def test_frozen_engine_is_critical(here: Site) -> None:
    """An engine that stands still behind a live API goes to those who are woken."""
    backend = here.backends[0]
    with frozen(backend):
        until(lambda: here.told("BackendStalled", "firing", backend.address))
        until(lambda: here.mails("[FIRING 1] critical BackendStalled"))
        bodies = here.webhook.to("/webhook")
        (body,) = [one for one in bodies if one["commonLabels"]["alertname"] == "BackendStalled"]
        assert body["receiver"] == "serving-page"
        assert not here.told("BackendDown", "firing")
    until(lambda: here.mails("[RESOLVED] critical BackendStalled"))


def test_all_backends_down_is_one_message(here: Site) -> None:
    """When all are down, one alert says so and the alert of each is held back."""
    with down(*here.backends):
        until(lambda: here.told("AllBackendsDown", "firing"))
        until(lambda: here.alertmanager.inhibited().get("BackendDown"))
        until(lambda: here.mails("[FIRING 1] critical AllBackendsDown"))
        assert not here.told("BackendDown", "firing")
        assert not [mail for mail in here.mail.mails if "BackendDown" in mail.text]
    until(lambda: here.mails("[RESOLVED] critical AllBackendsDown"))


def test_watchdog_is_heard_again_and_again(here: Site) -> None:
    """The dead-man's receiver is called all the time, and nobody else hears of it."""
    until(lambda: len(here.webhook.to("/watchdog")) >= 4)
    for body in here.webhook.to("/watchdog"):
        assert [one["labels"]["alertname"] for one in body["alerts"]] == ["Watchdog"]
    assert not here.told("Watchdog", "firing")
    assert not [mail for mail in here.mail.mails if "Watchdog" in mail.subject]
