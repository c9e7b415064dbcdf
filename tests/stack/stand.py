"""What a scenario needs of a stack, however it runs: parts to disturb, and what a user sees."""

import json
import re
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from lab.processes import await_true

# Names of the parts; BACKENDS are in the order of their speeds below.
NGINX, CONTROLLER, PROMETHEUS, LOAD = "nginx", "controller", "prometheus", "load"
SECOND_NGINX, SECOND_CONTROLLER = "nginx-2", "controller-2"
BACKENDS = ("vllm-1", "vllm-2", "vllm-3", "vllm-4")
SPEEDS = (1.0, 0.5, 1.0, 0.25)
# Requests per second: half of what these engines carry.
RATE = 6.0
# The most that a change may take on a machine that does much else.
SOON_S = 90.0
_SERVER = re.compile(
    r"^    server (\S+) weight=(\d+)(?: max_conns=\d+)? .*?;(?: # (\S+))?$", re.MULTILINE
)


class Stand(ABC):
    """A running stack: Prometheus, two Nginx each with its controller, four backends, a load."""

    lacks: ClassVar[Mapping[str, str]] = {}
    """Disturbances that it cannot cause, and why."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Of the entry point."""

    @abstractmethod
    def answer(self, part: str, path: str, body: bytes | None = None) -> str | None:
        """What a part says at a path of its own; None where it does not answer with 200."""

    @abstractmethod
    def name_of(self, address: str) -> str:
        """The backend behind an address of the upstream file."""

    @abstractmethod
    def upstream(self, nginx: str = NGINX) -> str:
        """The text of the upstream file that an Nginx includes; empty where there is none."""

    @abstractmethod
    def kill(self, part: str) -> None:
        """End a part at once, without a word."""

    @abstractmethod
    def stop(self, part: str) -> None:
        """End a part in order."""

    @abstractmethod
    def start(self, part: str) -> None:
        """Start a part that was ended."""

    @abstractmethod
    def pause(self, part: str) -> None:
        """Let a part stand still, with its connections open."""

    @abstractmethod
    def resume(self, part: str) -> None:
        """Let it go on."""

    @abstractmethod
    def cut(self, part: str) -> None:
        """Take a part out of the network."""

    @abstractmethod
    def join(self, part: str) -> None:
        """Put it back."""

    @abstractmethod
    def fill(self) -> None:
        """Fill the volume to which the controller writes what it asks of Nginx."""

    @abstractmethod
    def free(self) -> None:
        """Make room there again."""

    @abstractmethod
    def log(self, part: str) -> str:
        """The last lines of a part's log."""

    # ---- what follows from these ---------------------------------------------------------------

    def status(self, controller: str = CONTROLLER) -> dict[str, Any]:
        """What a controller sees and does; empty where it does not answer."""
        said = self.answer(controller, "/api/v1/status")
        return {} if said is None else dict(json.loads(said))

    def is_ready(self, controller: str = CONTROLLER) -> bool:
        """Whether a controller says that its Nginx serves what was confirmed last."""
        return self.answer(controller, "/readyz") is not None

    def generation(self, nginx: str = NGINX) -> str:
        """What an Nginx says that it serves; empty where it does not answer."""
        return (self.answer(nginx, "/lb/generation") or "").strip()

    def weights(self, nginx: str = NGINX) -> dict[str, int]:
        """The weights in an upstream file by backend, as it is named there or in its comment."""
        return {
            name or address: int(weight)
            for address, weight, name in _SERVER.findall(self.upstream(nginx))
            if address != "127.0.0.1:9"
        }

    def change(self, backend: str, **settings: object) -> None:
        """Change a simulated server: its speed, or what ails it."""
        said = self.answer(backend, "/simulator", json.dumps(settings).encode())
        assert said is not None, f"{backend} does not take {settings}"

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = SOON_S) -> None:
        """Wait until a condition holds."""
        await_true(condition, timeout_s, what, poll_s=0.2)

    def until_settled(self, controller: str = CONTROLLER, nginx: str = NGINX) -> None:
        """Wait until an Nginx serves what is in its file, and its controller knows."""
        self.until(
            lambda: self.is_ready(controller) and self.generation(nginx) in self.upstream(nginx),
            f"{controller} and {nginx} agree",
        )


def fetch(url: str, body: bytes | None = None, timeout_s: float = 5.0) -> str | None:
    """What an address answers; None unless it is a 200."""
    try:
        with urllib.request.urlopen(url, body, timeout=timeout_s) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError, ValueError):
        return None


def stream(url: str, tokens: int = 24, timeout_s: float = 60.0) -> list[str]:
    """The events of one streamed completion, each as it stood after `data: `."""
    body = {"model": "simulated", "prompt": "x " * 32, "max_tokens": tokens, "stream": True}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        lines = answer.read().decode().splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def answered(url: str, requests: int) -> Sequence[bool]:
    """Whether each of some streams, one after the other, came whole."""
    whole = []
    for _ in range(requests):
        try:
            whole.append(stream(url, tokens=4)[-1] == "[DONE]")
        except (urllib.error.URLError, OSError):
            whole.append(False)
    return whole
