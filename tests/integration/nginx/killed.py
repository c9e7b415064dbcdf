"""A controller that is killed by SIGKILL at one step of one call to apply.

Run as `python -m tests.integration.nginx.killed WAY STEP before|after DIRECTORY URL WEIGHT`.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from controller.adapters.nginx import (
    Endpoint,
    LocalNginx,
    LocalSettings,
    SharedSettings,
    SharedVolumeNginx,
)
from tests.integration.nginx.cases import file_of

STEPS = {
    "local": ("_stage", "_test", "_previous", "_swap", "_signal", "_confirm", "_go_back"),
    "shared": ("_submit", "_await_answer", "_confirm", "_go_back"),
}


def die() -> NoReturn:
    """End like a process that the kernel killed."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def killed_at(when: str, real: Callable[..., object]) -> Callable[..., object]:
    """The step, with death before or after it."""

    def fatal(*args: object) -> object:
        if when == "before":
            die()
        real(*args)
        die()

    return fatal


def main(arguments: list[str]) -> None:
    """Apply a file and die on the way."""
    way, step, when = arguments[:3]
    directory, endpoint, weight = Path(arguments[3]), Endpoint.parse(arguments[4]), arguments[5]
    # It goes back only when Nginx does not take up the reload, and is not to be waited for long.
    patience_s = 1 if step == "_go_back" else 20
    actuator: LocalNginx | SharedVolumeNginx
    if way == "local":
        settings = LocalSettings(
            directory / "shared" / "live",
            endpoint,
            conf=directory / "nginx.conf",
            pid_file=directory / "nginx.pid",
            confirm_timeout_s=patience_s,
        )
        actuator = LocalNginx(settings)
    else:
        actuator = SharedVolumeNginx(
            SharedSettings(directory / "shared", endpoint, confirm_timeout_s=patience_s)
        )
    setattr(actuator, step, killed_at(when, getattr(actuator, step)))
    wanted = file_of(int(weight))
    actuator.apply(wanted.generation, wanted.text)


if __name__ == "__main__":
    main(sys.argv[1:])
