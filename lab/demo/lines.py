"""The demo off a terminal: plain lines."""

from collections.abc import Sequence

from lab.demo.view import View, seconds

EVERY_S = 5.0


class Lines:
    """Prints events when they happen, and one line about the present every few seconds."""

    def __init__(self) -> None:
        self._next_s = EVERY_S

    def show(self, view: View) -> None:
        """Print the moment, unless the last line is recent."""
        if view.at_s < self._next_s:
            return
        self._next_s = view.at_s + EVERY_S
        self.tell(view.at_s, moment(view))

    def tell(self, at_s: float, text: str, details: Sequence[str] = ()) -> None:
        """Print an event, each detail in a line of its own."""
        print(f"{at_s:6.1f} s  {text}", *details, sep="\n            ", flush=True)


def moment(view: View) -> str:
    """The present in one line; the figures of backends stand in the order of their letters."""
    now = next(each for each in view.progress if each.router is view.router)
    backends = view.backends
    running = " ".join(_whole(each.running) for each in backends)
    waiting = " ".join(_whole(each.waiting) for each in backends)
    kv_usage = " ".join(_whole(each.kv_usage, 100) for each in backends)
    return (
        f"{view.router.spoken}: ended {now.ended} of {now.total}, failed {now.failed}"
        f" | weight {'/'.join(each.weight for each in backends)}"
        f" | running {running} | waiting {waiting} | KV % {kv_usage}"
        f" | TTFT p50 {seconds(view.ttft_p50_s)}, p99 {seconds(view.ttft_p99_s)}"
    )


def _whole(value: float | None, times: int = 1) -> str:
    return "-" if value is None else f"{value * times:.0f}"
