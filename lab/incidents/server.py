"""One inference server: an engine behind an HTTP API that publishes metrics.

What a vLLM and an SGLang server publish differs; what happens to requests in them does not.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lab.incidents.engine import Done, Engine, Hardware, Request
from lab.incidents.tally import Tally


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server stands.

    Attributes:
        pool: The pool of Nginx.
        address: `host:port` as configured; also its instance label.
        endpoint: `ip:port` as Nginx knows it.
        model: The model it serves.
        job: The job that Prometheus scrapes it under.
    """

    pool: str
    address: str
    endpoint: str
    model: str
    job: str


class Server(ABC):
    """An inference server.

    Attributes:
        up: Accepts connections; when false, Nginx is refused and a scrape fails.
        failing: Answers each request with a 500, at once.
    """

    def __init__(self, place: Place, hardware: Hardware, chance: random.Random) -> None:
        self.place = place
        self.engine = Engine(hardware, chance)
        self.up = True
        self.failing = False
        self.started_s = 0.0
        self.tally = Tally()
        self._gauges: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def die(self) -> list[Request]:
        """End the process; the requests in it are lost, and so is all it has counted."""
        self.up = False
        return self.engine.lose_all()

    def start(self, now_s: float) -> None:
        """Start a new process that knows nothing of the old one."""
        self.up, self.failing, self.engine.frozen = True, False, False
        self.started_s = now_s
        self.tally = Tally()
        self.be_born()
        self._publish()

    def work(self, now_s: float) -> Done:
        """Work for a second that begins now."""
        if not self.up:
            return Done()
        done = self.engine.advance(now_s)
        self.count(done)
        if not self.engine.frozen:
            # An engine publishes its gauges at the end of a step: one that makes none freezes them.
            self._publish()
        return done

    def shown(self) -> dict[str, float]:
        """The gauges that the controller's signals are made of."""
        return dict(self._shown)

    def samples(self) -> Iterator[tuple[str, float]]:
        """What a scrape brings."""
        yield from self._gauges.items()
        yield from self.tally.samples()
        yield "process_start_time_seconds", self.started_s

    def _publish(self) -> None:
        engine, self._gauges = self.engine, self.gauges()
        self._shown = {
            "running": float(engine.sequences),
            "waiting": float(len(engine.queue)),
            "kv_usage": engine.kv_usage,
            "awake": 1.0,
        }

    @abstractmethod
    def be_born(self) -> None:
        """Make the series that exist from the start, at 0."""

    @abstractmethod
    def gauges(self) -> dict[str, float]:
        """The gauges as they are now."""

    @abstractmethod
    def count(self, done: Done) -> None:
        """Count what a second of work brought."""

    @abstractmethod
    def answered(self, status: int) -> None:
        """Count an HTTP answer whose last byte is out."""

    @abstractmethod
    def aborted(self) -> None:
        """Count a request whose client went away."""

    @abstractmethod
    def totals(self) -> Mapping[str, float]:
        """The counters that the controller's signals are made of, by the signal they feed."""
