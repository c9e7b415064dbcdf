"""A site of its own for notifications: from simulated backends to a mail server and a webhook."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.alertmanager import RunningAlertmanager, alertmanager, rendered
from lab.processes import await_true
from lab.prometheus import Alerting, RunningPrometheus, prometheus, scrape_job
from lab.quick_rules import quick_rules
from lab.receivers import Mail, MailServer, WebhookReceiver, mail_server, webhook_receiver
from lab.simulators import RunningSimulator, simulators

ROOT = Path(__file__).parents[2]
# Five minutes of `for` become five seconds.
PACE = 60
DEADLINE_S = 40.0
# What fires before Prometheus has found Alertmanager, in its first seconds, is not told until then.
RESEND = ("--rules.alert.resend-delay=3s",)
# Always firing here, where there is no controller.
CALM = {"Watchdog", "ControllerAbsent"}
# As soon as possible, and in one message what fires in the same second.
QUICK = {
    "group_wait": "1s",
    "group_interval": "1s",
    "repeat_critical": "1h",
    "repeat_warning": "12h",
    "watchdog_every": "1s",
}


def to_mail(server: MailServer) -> dict[str, object]:
    """Variables of render.sh for mails to this server."""
    return {
        "email_to": "oncall@example.com",
        "email_from": "serving@example.com",
        "smtp": f"127.0.0.1:{server.port}",
        "smtp_tls": "off",
    }


def to_webhook(directory: Path, receiver: WebhookReceiver, *names: str) -> dict[str, object]:
    """Variables of render.sh for webhooks; each is called at a path of its own name."""
    directory.mkdir(parents=True, exist_ok=True)
    variables: dict[str, object] = {}
    for name in names:
        variables[f"{name}_url_file"] = directory / name
        (directory / name).write_text(f"{receiver.url}/{name}\n")
    return variables


@dataclass(frozen=True, slots=True)
class Site:
    """All that stands between a backend and whoever is told of it."""

    backends: tuple[RunningSimulator, ...]
    prometheus: RunningPrometheus
    alertmanager: RunningAlertmanager
    mail: MailServer
    webhook: WebhookReceiver

    def mails(self, subject: str) -> list[Mail]:
        """The mails so far whose subject begins so."""
        return [mail for mail in self.mail.mails if mail.subject.startswith(subject)]

    def told(self, alert: str, status: str, instance: str = "") -> list[dict[str, Any]]:
        """What the webhook was told of an alert, once per message that has it in this state."""
        return [
            one
            for body in self.webhook.to("/webhook")
            for one in body["alerts"]
            if one["labels"]["alertname"] == alert
            and one["status"] == status
            and one["labels"].get("instance", "").startswith(instance)
        ]

    def firing(self) -> set[str]:
        """The names of all alerts in Alertmanager."""
        return set(self.alertmanager.inhibited())

    def rest(self) -> None:
        """Wait until nothing is wrong, and forget what was told so far."""
        # The alerts know a backend that lived at one of the steps they look back by: of five
        # minutes, and of five seconds here.
        known = "count(backend:requests_running:sum and last_over_time({}[10m:5s]))"
        known = known.format("backend:requests_running:sum")
        until(lambda: self.prometheus.value(known) == len(self.backends), "backends known")
        until(lambda: self.firing() == CALM, "all is calm")
        self.mail.mails.clear()
        self.webhook.deliveries.clear()


def until(condition: Callable[[], object], what: str = "what the test expects") -> None:
    """Wait until something holds."""
    await_true(lambda: bool(condition()), DEADLINE_S, what, poll_s=0.1)


@contextlib.contextmanager
def site(directory: Path, links: Mapping[str, object]) -> Iterator[Site]:
    """Run two backends, Prometheus with the shipped rules, Alertmanager, and two receivers."""
    with contextlib.ExitStack() as stack:
        mail = stack.enter_context(mail_server())
        webhook = stack.enter_context(webhook_receiver())
        hooks = to_webhook(directory / "secrets", webhook, "webhook", "watchdog")
        config = rendered(directory / "notify", {**QUICK, **links, **to_mail(mail), **hooks})
        running = stack.enter_context(alertmanager(directory / "alertmanager", config))
        backends = stack.enter_context(simulators(directory, (1.0, 1.0)))
        rules = [
            quick_rules(ROOT / "rules" / name, directory / name, PACE)
            for name in ("recording.yml", "alerts.yml")
        ]
        jobs = [scrape_job("vllm", [backend.address for backend in backends])]
        told = Alerting(rules, [running.address])
        source = stack.enter_context(
            prometheus(directory / "prometheus", jobs, alerting=told, flags=RESEND)
        )
        yield Site(backends, source, running, mail, webhook)


def alert(*, lasts_s: float = 3600.0, **labels: str) -> dict[str, object]:
    """An alert as Prometheus posts it; it has begun a minute ago, and lasts so long from now."""
    now_s = time.time()
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    return {
        "labels": labels,
        "annotations": {"summary": f"{labels['alertname']} happens"},
        "startsAt": time.strftime(stamp, time.gmtime(now_s - 60)),
        "endsAt": time.strftime(stamp, time.gmtime(now_s + lasts_s)),
        "generatorURL": "http://prometheus.example/graph",
    }
