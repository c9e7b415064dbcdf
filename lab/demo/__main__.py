"""`python -m lab.demo`: plays the demo, and leaves nothing behind however it ends."""

import os
import signal
import sys
import time
from types import FrameType

from lab.demo.play import play
from lab.demo.settings import SettingsError, read
from lab.demo.stage import DemoError
from lab.demo.turns import Clock
from lab.processes import NotReadyError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked for the end; not an Exception, so that nobody handles it by mistake."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _interrupt(number: int, _: FrameType | None) -> None:
    # A second Ctrl-C would only interrupt the tidying up.
    _ignore_signals()
    raise Interrupted(number)


def _ignore_signals() -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def main() -> int:
    """Play the demo; returns the exit code."""
    began_s = time.monotonic()
    try:
        settings = read(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    for each in _SIGNALS:
        signal.signal(each, _interrupt)
    try:
        play(settings, Clock(began_s, settings.seconds), before_tidying=_ignore_signals)
    except Interrupted as interrupted:
        name = signal.Signals(interrupted.number).name
        print(f"Interrupted by {name}; everything that was started has ended.", file=sys.stderr)
        return 128 + interrupted.number
    except BrokenPipeError:
        # Whoever read the output has seen enough, as with `| head`; what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (DemoError, NotReadyError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
