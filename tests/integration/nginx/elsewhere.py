"""A controller that changes or rehearses with mounts of its own and as another user.

Run as `python -m tests.integration.nginx.elsewhere apply|rehearse WAY DIRECTORY URL USER`.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from controller.adapters.nginx import (
    Endpoint,
    LocalNginx,
    LocalSettings,
    SharedSettings,
    SharedVolumeNginx,
)
from controller.core.errors import ActuationError
from lab.nginx import RunningNginx
from tests.integration.nginx.cases import Way, file_of

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it, as that process sees it.

    Attributes:
        fault: Of the error; empty without one.
        message: Of the error.
        live: The text of the live file.
        names: What stands in the directory to which it writes.
    """

    fault: str
    message: str
    live: str
    names: list[str]


def elsewhere(
    does: Literal["apply", "rehearse"],
    running: RunningNginx,
    way: Way,
    *,
    mounts: str = "true",
    uid: int = 0,
) -> Seen:
    """Apply or rehearse in a process with mounts of its own and as another user."""
    program = ["unshare", "-m", "sh", "-ec", f'{mounts} && exec "$@"', "sh"]
    module = [sys.executable, "-m", "tests.integration.nginx.elsewhere", does, way]
    arguments = [str(running.directory), running.generation_url, str(uid)]
    done = subprocess.run(
        [*program, *module, *arguments], cwd=ROOT, check=True, timeout=60, stdout=subprocess.PIPE
    )
    return Seen(**json.loads(done.stdout))


def main(arguments: list[str]) -> None:
    """Do it, and print what was seen."""
    does, way, directory, endpoint = (
        *arguments[:2],
        Path(arguments[2]),
        Endpoint.parse(arguments[3]),
    )
    shared = directory / "shared"
    live, wanted = shared / "live", file_of(9)
    actuator = (
        LocalNginx(
            LocalSettings(
                live, endpoint, conf=directory / "nginx.conf", pid_file=directory / "nginx.pid"
            )
        )
        if way == "local"
        else SharedVolumeNginx(SharedSettings(shared, endpoint))
    )
    # By now all modules are loaded, which that user need not be able to read.
    os.setuid(int(arguments[4]))
    fault = message = ""
    try:
        if does == "apply":
            actuator.apply(wanted.generation, wanted.text)
        else:
            actuator.rehearse()
    except ActuationError as error:
        fault, message = error.fault, str(error)
    text = (live / "upstream.conf").read_text()
    names = [path.name for path in (live if way == "local" else shared / "req").iterdir()]
    sys.stdout.write(json.dumps(asdict(Seen(fault, message, text, names))))


if __name__ == "__main__":
    main(sys.argv[1:])
