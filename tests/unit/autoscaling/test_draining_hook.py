"""The hook that a replica runs before it goes, against what real servers answer."""

import io
import time
import urllib.request

import pytest

from tests.unit.autoscaling.manifests import ROOT, load

CAPTURES = ROOT / "tests" / "fixtures" / "captures"
POD = load("vllm-draining-patch.yaml")["spec"]["template"]["spec"]
(COMMAND,) = [each["lifecycle"]["preStop"]["exec"]["command"] for each in POD["containers"]]


class Server:
    """Answers with one capture after the other, and keeps the time that the hook spends."""

    def __init__(self, *captures: str) -> None:
        self.captures = list(captures)
        self.slept_s: list[float] = []

    def open(self, url: str) -> io.BytesIO:
        """What a request for the metrics gets; the last capture again and again."""
        assert url == "http://127.0.0.1:8000/metrics"
        capture = self.captures.pop(0) if len(self.captures) > 1 else self.captures[0]
        return io.BytesIO((CAPTURES / f"{capture}.prom").read_bytes())

    def now(self) -> float:
        """A clock that only the hook's own waiting moves."""
        return sum(self.slept_s)


def drain(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Run the hook; time and the network are patched, since it would wait for minutes."""
    monkeypatch.setattr(time, "sleep", server.slept_s.append)
    monkeypatch.setattr(time, "monotonic", server.now)
    monkeypatch.setattr(urllib.request, "urlopen", server.open)
    assert COMMAND[:2] == ["python3", "-c"]
    exec(COMMAND[2], {})  # noqa: S102  # the script under test is text in a manifest
    return server.slept_s


def test_it_waits_for_nginx_and_then_for_the_last_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running requests hold it, waiting ones too; an idle engine lets it go."""
    server = Server("03-queueing", "02-moderate", "13-dp2", "00-fresh-idle")
    first, *looks = drain(server, monkeypatch)
    assert first > 30 + 10, "forget_after and a tick pass before Nginx stops sending"
    assert looks == [2, 2, 2]


def test_an_idle_server_goes_as_soon_as_nginx_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs, so there is one look and no more waiting."""
    assert len(drain(Server("00-fresh-idle"), monkeypatch)) == 1


@pytest.mark.parametrize("capture", ["01-after-light", "11-engine-stuck"])
def test_a_gauge_that_stays_does_not_hold_it(capture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle or frozen, an engine that makes no step for half a minute has nothing to finish."""
    assert sum(drain(Server(capture), monkeypatch)[1:]) == 30


def test_the_grace_period_leaves_time_for_streams() -> None:
    """The wait for Nginx is a small part of it."""
    assert POD["terminationGracePeriodSeconds"] >= 600 + 60
