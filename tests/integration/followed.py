"""Pages of docs followed block by block on a booted host, by somebody who types what is there."""

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.processes import NotReadyError, await_true, child
from tests.integration.booted import Host, install_from_here

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
VENV = "/opt/vllm-nginx-lb"
CONFIG = "/etc/vllm-nginx-lb/config.yaml"
READY = "curl -sf http://127.0.0.1:9808/readyz"
# A test waits for no calm: the edit of the copy that the pages ask for.
QUICK = "control: {interval: 1s, min_interval: 0s, fast_interval: 0s}"
# Packages come from a network that a test has not.
_NETWORK = re.compile(r"^(?:apt-get|/opt/vllm-nginx-lb/bin/pip) .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of docs."""

    path: Path

    def blocks(self, heading: str, kind: str = "sh") -> list[str]:
        """The blocks of a language below a heading of the second level."""
        _, found, rest = self.path.read_text().partition(f"\n## {heading}\n")
        assert found, f"{self.path.name} has no heading {heading}"
        section = rest.partition("\n## ")[0]
        return re.findall(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)

    def follow(self, host: Host, heading: str) -> list[str]:
        """Run each block below a heading, but for what needs a network; returns what it printed."""
        return [typed(host, block) for block in self.blocks(heading)]


def typed(host: Host, block: str) -> str:
    """Run a block as root of a hardened machine would, whose files nobody else may read."""
    return host.run(f"umask 077\n{_NETWORK.sub('', block)}", timeout_s=240)


INSTALL = Page(DOCS / "install.md")


def install_program(host: Host) -> None:
    """The first two steps of the installation."""
    INSTALL.follow(host, "1. The program")
    install_from_here(host, VENV)
    INSTALL.follow(host, "2. The user, the directories, the services")


def start_prometheus(host: Host) -> None:
    """A Prometheus that runs with the scrape configuration of the installation."""
    (scraped,) = INSTALL.blocks("3. The configuration", "yaml")
    host.run(f"cat >/etc/prometheus/prometheus.yml <<'END'\n{scraped}END")
    host.run("systemctl start prometheus")


def until(host: Host, command: str, timeout_s: float = 60) -> None:
    """Wait until a command there succeeds; a failure ends with what it said last."""
    said: list[str] = []

    def succeeds() -> bool:
        done = host.attempt(command)
        said[:] = [done.stdout, done.stderr]
        return done.returncode == 0

    try:
        await_true(succeeds, timeout_s, command, poll_s=0.2)
    except NotReadyError as error:
        raise NotReadyError("\n".join([str(error), *said])) from error


@contextlib.contextmanager
def simulated(host: Host, directory: Path, addresses: Sequence[str]) -> Iterator[None]:
    """Backends at the addresses of a page, port 8000."""
    with contextlib.ExitStack() as stack:
        for address in addresses:
            host.run(f"ip address add {address}/32 dev lo")
            argv = [sys.executable, "-m", "simulator.server", "--preset", "lab"]
            argv += ["--host", address, "--port", "8000"]
            stack.enter_context(child(host.command(*argv), directory / f"{address}.log"))
        for address in addresses:
            until(host, f"curl -sf http://{address}:8000/health")
        yield
