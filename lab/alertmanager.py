"""A real Alertmanager with the configuration that deploy/alertmanager/render.sh writes."""

import contextlib
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.processes import Child, answers, child, free_port

RENDER = Path(__file__).resolve().parents[1] / "deploy" / "alertmanager" / "render.sh"


class NotRenderedError(Exception):
    """render.sh refused its variables; the message is what it said."""


def rendered(directory: Path, variables: Mapping[str, object]) -> Path:
    """Let render.sh write into the directory; `email_to` stands for NOTIFY_EMAIL_TO.

    Raises:
        NotRenderedError: It refused.
    """
    directory.mkdir(parents=True, exist_ok=True)
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("NOTIFY_")}
    chosen = {f"NOTIFY_{name.upper()}": str(value) for name, value in variables.items()}
    done = subprocess.run(
        [RENDER, directory],
        env={**inherited, **chosen},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise NotRenderedError(done.stderr.strip())
    return directory / "alertmanager.yml"


@dataclass(frozen=True, slots=True)
class RunningAlertmanager:
    """An Alertmanager that answers at `url`."""

    url: str
    process: Child

    @property
    def address(self) -> str:
        """Its host and port, as Prometheus wants it."""
        return self.url.removeprefix("http://")

    def alerts(self) -> list[dict[str, Any]]:
        """Its alerts with their state, as its API gives them."""
        return list(json.loads(self._exchange("/api/v2/alerts")))

    def inhibited(self) -> dict[str, bool]:
        """Whether each alert is inhibited, by the name of the alert."""
        return {
            alert["labels"]["alertname"]: bool(alert["status"]["inhibitedBy"])
            for alert in self.alerts()
        }

    def post(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """Hand over alerts, as Prometheus does."""
        self._exchange("/api/v2/alerts", json.dumps(list(alerts)).encode())

    def count(self, metric: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        lines = self._exchange("/metrics").decode().splitlines()
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith((f"{metric}{{", f"{metric} "))
            and all(part in line for part in wanted)
        )

    def _exchange(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - an address this module made
            f"{self.url}{path}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return bytes(answer.read())


@contextlib.contextmanager
def alertmanager(directory: Path, config: Path) -> Iterator[RunningAlertmanager]:
    """Run Alertmanager alone, without a cluster, until the context ends."""
    directory.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{free_port()}"
    # Debian's name, and everybody else's.
    found = shutil.which("prometheus-alertmanager") or "alertmanager"
    argv = [
        found,
        f"--config.file={config}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        f"--web.external-url={url}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]

    log = directory / "alertmanager.log"
    with child(argv, log, ready=lambda: answers(f"{url}/-/ready")) as process:
        yield RunningAlertmanager(url, process)
