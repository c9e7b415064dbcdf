"""What there is to see at one moment, for the screen and for plain lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.demo.routers import Router


@dataclass(frozen=True, slots=True)
class BackendView:
    """One backend now; None stands for what nobody has measured yet.

    Attributes:
        name: Its letter.
        address: host:port.
        speed: Its present speed, 1 for that of the preset.
        usual_speed: Its speed at the start.
        weight: What Nginx serves, "equal" or a number.
        reason: Why it has that weight.
        running: Requests in its batch.
        waiting: Requests in its queue.
        kv_usage: Share of its KV cache in use, 0..1.
        served: Requests it has answered under this router.
    """

    name: str
    address: str
    speed: float
    usual_speed: float
    weight: str
    reason: str
    running: float | None
    waiting: float | None
    kv_usage: float | None
    served: int

    @property
    def throttled(self) -> bool:
        """Whether it is slower than at the start."""
        return self.speed < self.usual_speed


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the requests of one router are."""

    router: Router
    total: int
    sent: int = 0
    ended: int = 0
    failed: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Everything at one moment.

    Attributes:
        at_s: Seconds since the demo began.
        router: The router whose turn it is.
        progress: One entry per router, in their order.
        backends: The backends, in the order of their letters.
        ttft_p50_s: Of first tokens of the last seconds.
        ttft_p99_s: The same.
    """

    at_s: float
    router: Router
    progress: Sequence[Progress]
    backends: Sequence[BackendView]
    ttft_p50_s: float | None
    ttft_p99_s: float | None


class Reporter(Protocol):
    """Shows the demo to somebody."""

    def show(self, view: View) -> None:
        """Take notice of the present moment; called several times a second."""

    def tell(self, at_s: float, text: str, details: Sequence[str] = ()) -> None:
        """Tell of an event, now; details are for who has the room."""


def seconds(value: float | None) -> str:
    """A time to be read by people: two digits that count, the same width from 0.01 to 99 s."""
    if value is None:
        return "-"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"  # noqa: PLR2004 - one digit more before the point
