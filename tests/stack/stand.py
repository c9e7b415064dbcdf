"""What a scenario needs of a stack, however it runs: parts to disturb, and what a user sees."""

import http.client
import json
import re
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lab.processes import NotReadyError, await_true

# Names of the parts; BACKENDS are in the order of their speeds below.
NGINX, CONTROLLER, PROMETHEUS, LOAD = "nginx", "controller", "prometheus", "load"
SECOND_NGINX, SECOND_CONTROLLER = "nginx-2", "controller-2"
BACKENDS = ("vllm-1", "vllm-2", "vllm-3", "vllm-4")
SPEEDS = (1.0, 0.5, 1.0, 0.25)
# Requests per second: half of what these engines carry.
RATE = 6.0
# The most that a change may take on a machine that does much else.
SOON_S = 180.0
_SERVER = re.compile(
    r"^    server (\S+) weight=(\d+)(?: max_conns=\d+)? .*?;(?: # (\S+))?$", re.MULTILINE
)


class Stand(ABC):
    """A running stack: Prometheus, two Nginx each with its controller, four backends, a load."""

    lacks: ClassVar[Mapping[str, str]] = {}
    """Disturbances that it cannot cause, and why."""

    def __init__(self) -> None:
        self._down: list[str] = []

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
    def shared(self, path: str, nginx: str = NGINX) -> str:
        """A file that Nginx and its controller share, by its path there; empty without one."""

    @abstractmethod
    def kill_part(self, part: str) -> None:
        """End a part at once, without a word."""

    @abstractmethod
    def stop_part(self, part: str) -> None:
        """End a part in order."""

    @abstractmethod
    def start_part(self, part: str) -> None:
        """Start a part that was ended, and wait until it answers."""

    @abstractmethod
    def signal_watcher(self, name: str) -> None:
        """Send a signal, such as STOP, to the watcher beside the first Nginx."""

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
    def fill(self, volume: str) -> None:
        """Fill `req`, to which the controller writes, or `live`, to which the watcher does."""

    @abstractmethod
    def free(self, volume: str) -> None:
        """Make room there again."""

    @abstractmethod
    def told(self) -> str:
        """What the parts said last, for whoever has to find out why a test failed."""

    # ---- what follows from these ---------------------------------------------------------------

    def kill(self, part: str) -> None:
        """End a part at once, without a word."""
        self._down.append(part)
        self.kill_part(part)

    def stop(self, part: str) -> None:
        """End a part in order."""
        self._down.append(part)
        self.stop_part(part)

    def start(self, part: str) -> None:
        """Start a part that was ended, and wait until it answers."""
        self.start_part(part)
        if part in self._down:
            self._down.remove(part)

    def mend(self) -> None:
        """Start whatever a test left dead."""
        for part in tuple(self._down):
            self.start(part)

    def upstream(self, nginx: str = NGINX) -> str:
        """The text of the upstream file that an Nginx includes; empty where there is none."""
        return self.shared("live/upstream.conf", nginx)

    def is_asked(self) -> bool:
        """Whether the controller waits for an answer of the watcher."""
        _, _, asked, *_ = [*self.shared("req/request.conf").split(), "", "", ""]
        answered, *_ = [*self.shared("ack/answer").split(), ""]
        return asked not in {"", answered}

    def serves_its_file(self, nginx: str = NGINX) -> bool:
        """Whether an Nginx answers with the generation that stands in its upstream file."""
        generation = self.generation(nginx)
        return generation != "" and f'"{generation}"' in self.upstream(nginx)

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
        try:
            await_true(condition, timeout_s, what, poll_s=0.2)
        except NotReadyError as error:
            raise NotReadyError(f"{error}\n{self.told()}") from error

    def until_settled(self, controller: str = CONTROLLER, nginx: str = NGINX) -> None:
        """Wait until an Nginx serves what is in its file, and its controller knows."""
        self.until(
            lambda: self.is_ready(controller) and self.serves_its_file(nginx),
            f"{controller} and {nginx} agree",
        )


@dataclass(frozen=True, slots=True)
class Streamed:
    """A streamed completion.

    Attributes:
        events: What stood after `data: `.
        lasted_s: Seconds from the first event to the last.
    """

    events: Sequence[str]
    lasted_s: float

    @property
    def is_whole(self) -> bool:
        """Whether it came to its end."""
        return self.events[-1:] == ["[DONE]"]


def stream(url: str, tokens: int = 24, timeout_s: float = 60.0) -> Streamed:
    """Ask for a completion, and read it as it comes."""
    body = {"model": "simulated", "prompt": "x " * 32, "max_tokens": tokens, "stream": True}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    events, times_s = [], []
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                events.append(line.decode().removeprefix("data: ").strip())
                times_s.append(time.monotonic())
    return Streamed(events, times_s[-1] - times_s[0] if times_s else 0.0)


def answered(url: str, requests: int) -> Sequence[bool]:
    """Whether each of some streams, one after the other, came whole."""
    whole = []
    for _ in range(requests):
        try:
            whole.append(stream(url, tokens=4).is_whole)
        except (http.client.HTTPException, OSError):
            whole.append(False)
    return whole
