"""Where troubles are caused, and how a reader asks about them."""

import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.nginx import nginx
from lab.processes import accepts, await_true, child, free_port
from tests.integration.plant import Plant

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "controller")
# The same as another user, who need not be able to read what Python has loaded by then.
COMMAND_AS = """
import os, sys
from controller.app import cli, log, service, telemetry, wiring
user = int(sys.argv.pop(1))
os.setgroups([])
os.setgid(user)
os.setuid(user)
cli.main()
"""
BACKENDS = ("10.0.0.11:8000", "10.0.0.12:8000", "10.0.0.13:8000")
# The controller's user in its image.
CONTAINER_USER = 10001
SOON_S = 40.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A place where things go wrong, and a way to ask what the reader would ask.

    Attributes:
        site: Prometheus, Nginx and the pages of three backends.
        directory: For the files of this trouble.
    """

    site: Plant
    directory: Path

    @property
    def config_file(self) -> Path:
        """The configuration of this trouble."""
        return self.directory / "config.yaml"

    def check(self, *, under: Sequence[str] = (), **parts: str) -> str:
        """What `check` says of the configuration of the site with these parts replaced."""
        return self.ask("check", under=under, **parts)

    def ask(
        self,
        name: str,
        *,
        under: Sequence[str] = (),
        command: Sequence[str] = COMMAND,
        **parts: str,
    ) -> str:
        """What a command says of the configuration of the site with these parts replaced."""
        self.config_file.write_text(self.site.config_text(**parts))
        return self.said(name, "--config", self.config_file, under=under, command=command)

    def said(
        self, *arguments: str | Path, under: Sequence[str] = (), command: Sequence[str] = COMMAND
    ) -> str:
        """What a command prints, with the addresses and paths of the page in it."""
        done = subprocess.run(
            [*under, *command, *(str(each) for each in arguments)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return self.as_on_the_page(done.stdout + done.stderr)

    def as_on_the_page(self, text: str) -> str:
        """The text with the places of the page for those of this run."""
        front = self.site.nginx
        for here, there in (
            (str(self.config_file), "/etc/vllm-nginx-lb/config.yaml"),
            (front.generation_url, "http://127.0.0.1:8081/lb/generation"),
            (front.url, "http://127.0.0.1:8080"),
            (self.site.prometheus.url, "http://127.0.0.1:9090"),
            (str(front.upstream_dir), "/var/lib/vllm-nginx-lb/live"),
            (str(front.shared_dir), "/var/lib/vllm-nginx-lb"),
            (str(front.conf), "/etc/nginx/nginx.conf"),
            (str(front.pid_file), "/run/nginx.pid"),
            (str(self.directory), "/var/lib/vllm-nginx-lb"),
        ):
            text = text.replace(here, there)
        return text

    def way(self, **changed: object) -> str:
        """The way to the Nginx of the site, with some of its settings changed."""
        lines = yaml.safe_load(self.site.local_way())
        return "".join(f"\n  {key}: {each}" for key, each in {**lines, **changed}.items()) + "\n"

    def pool(self, **changed: object) -> str:
        """The pool of the site, with some of its settings changed."""
        backends = [{"address": each} for each in BACKENDS]
        usual = {
            "name": "llm",
            "selector": 'job="vllm"',
            "rate_window": "5s",
            "backends": backends,
            "policy": {"name": "ladder"},
        }
        return "\n" + yaml.safe_dump([{**usual, **changed}])

    @contextlib.contextmanager
    def controller(self, **parts: str) -> Iterator[str]:
        """Run a controller; yields its address once its first tick has ended."""
        port = free_port()
        telemetry = f'telemetry: {{listen: "127.0.0.1:{port}"}}\n'
        self.config_file.write_text(self.site.config_text(**parts) + telemetry)
        url = f"http://127.0.0.1:{port}"
        argv: list[str | Path] = [*COMMAND, "run", "--config", self.config_file]
        log = self.directory / "controller.log"
        with child(argv, log, ready=lambda: accepts(port), cwd=ROOT) as process:
            process.await_ready(lambda: fetched(f"{url}/api/v1/status")[0] == 200)
            yield url

    @contextlib.contextmanager
    def own_nginx(self, upstream_text: str | None = None) -> Iterator["Trouble"]:
        """The same trouble with an Nginx that may be broken, in place of that of the site."""
        with nginx(self.directory / "nginx", upstream_text=upstream_text) as front:
            site = Plant(self.directory, self.site.prometheus, front, self.site.pages)
            yield Trouble(site, self.directory)


def fetched(url: str) -> tuple[int, str]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextlib.contextmanager
def gauge(at: Trouble, backend: str, name: str, value: float) -> Iterator[None]:
    """A backend publishes this value; Prometheus has it."""
    gauges = at.site.pages[backend].gauges
    kept, gauges[name] = gauges[name], value
    try:
        at.site.await_query(f'{name}{{instance="{backend}"}}', value)
        yield
    finally:
        gauges[name] = kept
        at.site.await_query(f'{name}{{instance="{backend}"}}', kept)


def await_status(url: str, part: str) -> None:
    """Wait until the status of a controller has this part."""
    await_true(lambda: part in fetched(f"{url}/api/v1/status")[1], SOON_S, f"the status has {part}")
