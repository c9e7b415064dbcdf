"""The last act: an engine freezes behind an API that still says 200, and somebody is told.

The rules are the shipped ones at a quicker pace, in a Prometheus of their own, so that what they
cost disturbs no router's turn. Alertmanager has the shipped configuration.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.alertmanager import alertmanager, rendered
from lab.controller import RunningController, controller
from lab.demo.background import in_background
from lab.demo.stage import JOB, Stage, check_alive
from lab.load import Lengths, Load, poisson
from lab.processes import Child, await_true
from lab.prometheus import Alerting, RunningPrometheus, prometheus, scrape_job
from lab.quick_rules import quick_rules
from lab.receivers import WebhookReceiver, webhook_receiver

_RULES = Path(__file__).resolve().parents[2] / "rules"
FROZEN = "A"
FAULTS = {
    "freeze_engine": f"freeze {FROZEN}: its engine stands still, its API goes on saying 200",
    "none": f"thaw {FROZEN}",
}
ALERT = "BackendStalled"
OUT = f"the controller has taken {FROZEN} out"
TOLD = f"the webhook is told of {ALERT}"
RESOLVED = f"the webhook is told that {ALERT} is resolved"
# Sentences about an event; None while it has not happened.
Details = Sequence[str] | None
# Two minutes of `for` become two seconds.
PACE = 60
# The longest wait for one step; each takes ten seconds on a machine that keeps pace.
STEP_S = 40.0
# What the whole act is given.
ALARM_S = 30.0
# Enough for requests on every backend at any moment, too few to fill one: an engine that is idle
# when it freezes shows nothing.
RATE, LOAD_S = 10.0, 40.0


@dataclass(frozen=True, slots=True)
class Notified:
    """How a notification came.

    Attributes:
        alert: The name of the alert.
        out_s: Seconds from the freeze until Nginx had confirmed that the backend is out.
        told_s: Seconds from the freeze until the webhook was called.
        resolved_s: Seconds from the thaw until it was told that all is well.
    """

    alert: str
    out_s: float
    told_s: float
    resolved_s: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """What the act needs.

    Attributes:
        stage: The backends and Nginx.
        directory: For the files of what is started.
        config: The controller's configuration.
        tell: Called with every event, and its details.
    """

    stage: Stage
    directory: Path
    config: Mapping[str, Any]
    tell: Callable[..., None]

    def play(self) -> Notified:
        """Freeze an engine, wait for the notification, thaw it, wait for the resolution.

        Raises:
            NotReadyError: Something did not start, or nobody was told in time.
            DemoError: A server ended early.
        """
        self.stage.reset()
        lengths = Lengths((96, 160), (32, 64))
        load = Load(self.stage.nginx.url, poisson(RATE, LOAD_S, lengths, 1), model="simulated")
        with contextlib.ExitStack() as stack:
            webhook = stack.enter_context(webhook_receiver())
            running = stack.enter_context(controller(self.directory, self.config))
            source = stack.enter_context(self._watched(running, webhook))
            children = [*self.stage.children(), running.process, source.process]
            stack.enter_context(in_background(load))
            address = self.stage.backends[FROZEN].address
            requests = f'backend:requests_running:sum{{instance="{address}"}} > 0'
            self._await(children, lambda: bool(source.query(requests)), "requests to be recorded")
            firing = self._after(
                "freeze_engine",
                children,
                {
                    OUT: lambda: () if _is_out(running, address) else None,
                    TOLD: lambda: _told(webhook, "firing"),
                },
            )
            well = self._after("none", children, {RESOLVED: lambda: _is_over(source, webhook)})
        return Notified(ALERT, firing[OUT], firing[TOLD], well[RESOLVED])

    def _after(
        self, fault: str, children: Sequence[Child], events: Mapping[str, Callable[[], Details]]
    ) -> dict[str, float]:
        """Give the backend the fault, and wait for all events.

        Returns:
            Seconds until each event was seen.
        """
        began_s = time.monotonic()
        self.stage.backends[FROZEN].change(fault=fault)
        self.tell(FAULTS[fault])
        seen_s: dict[str, float] = {}

        def all_seen() -> bool:
            for event in events.keys() - seen_s.keys():
                details = events[event]()
                if details is not None:
                    seen_s[event] = round(time.monotonic() - began_s, 1)
                    self.tell(f"{seen_s[event]:.1f} s later: {event}", details)
            return seen_s.keys() == events.keys()

        self._await(children, all_seen, " and ".join(events))
        return seen_s

    @contextlib.contextmanager
    def _watched(
        self, running: RunningController, webhook: WebhookReceiver
    ) -> Iterator[RunningPrometheus]:
        """Prometheus with the rules, and Alertmanager behind it."""
        directory = self.directory
        url_file = directory / "webhook"
        url_file.write_text(f"{webhook.url}/\n")
        at_once = {"group_wait": "1s", "group_interval": "1s", "webhook_url_file": url_file}
        config = rendered(directory / "notify", at_once)
        rules = [
            quick_rules(_RULES / name, directory / name, PACE)
            for name in ("recording.yml", "alerts.yml")
        ]
        jobs = [
            scrape_job(JOB, self.stage.addresses),
            scrape_job("vllm-nginx-lb", [running.url.removeprefix("http://")]),
        ]
        with (
            alertmanager(directory / "alertmanager", config) as told,
            prometheus(
                directory / "prometheus", jobs, alerting=Alerting(rules, [told.address])
            ) as source,
        ):
            yield source

    def _await(self, children: Sequence[Child], condition: Callable[[], bool], what: str) -> None:
        def met() -> bool:
            check_alive(children)
            return condition()

        await_true(met, STEP_S, what, poll_s=0.1)


def _is_out(running: RunningController, address: str) -> bool:
    status = running.status()
    return status is not None and any(
        line["down_applied"]
        for pool in status["pools"]
        for line in pool["backends"]
        if line["address"] == address
    )


def _told(webhook: WebhookReceiver, status: str) -> Details:
    """What the first notification of the alert in this state says."""
    for body in webhook.to("/"):
        for one in body["alerts"]:
            if one["labels"]["alertname"] == ALERT and one["status"] == status:
                return [one["annotations"]["summary"], one["annotations"]["description"]]
    return None


def _is_over(source: RunningPrometheus, webhook: WebhookReceiver) -> Details:
    """Whether nothing stands still, and whoever was told so was told that it is over.

    The alert has two severities, before the backend is out and after, so the first may be resolved
    while the engine is still frozen.
    """
    last = {
        one["fingerprint"]: one["status"]
        for body in webhook.to("/")
        for one in body["alerts"]
        if one["labels"]["alertname"] == ALERT
    }
    over = set(last.values()) == {"resolved"} and not source.query(f'ALERTS{{alertname="{ALERT}"}}')
    return () if over else None
