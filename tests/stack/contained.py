"""Containers as restricted as docker-compose.yml has them."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from lab.processes import NotReadyError, await_true
from tests.stack.leftovers import OF_THIS_RUN

# Its reaper is one more image to fetch, and each container here has a context that ends it.
testcontainers_config.ryuk_disabled = True

RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
RUN_S = 60.0
HEALTHY_S = 60.0


def inspected(image: str) -> dict[str, Any]:
    """What the engine knows of an image."""
    argv = ["docker", "image", "inspect", image]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def once(
    image: str, *argv: str, options: Sequence[str] = (), timeout_s: float = RUN_S
) -> subprocess.CompletedProcess[str]:
    """Run a command in a new container to its end, which is also that of the container.

    Args:
        image: Its name and tag.
        argv: The command.
        options: Further ones of `docker run`, such as an entry point.
        timeout_s: Seconds after which the container is removed.

    Raises:
        TimeoutExpired: It did not end.
    """
    name = f"lb-test-{uuid.uuid4().hex[:12]}"
    known = [f"--name={name}", f"--label={OF_THIS_RUN}"]
    command = ["docker", "run", "--rm", *known, "--network=none", *RESTRICTED, *options, image]
    try:
        return subprocess.run(
            [*command, *argv], check=False, capture_output=True, text=True, timeout=timeout_s
        )
    except BaseException:
        # Only the client was ended, and it does not take its container with it.
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)
        raise


@dataclass(frozen=True, slots=True)
class Contained:
    """A container that runs."""

    container: DockerContainer

    def get(self, port: int, path: str) -> tuple[int, str]:
        """Ask a published port: status, 0 without an answer, and body."""
        address = f"http://127.0.0.1:{self.container.get_exposed_port(port)}{path}"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()
        except OSError:
            return 0, ""

    def health(self) -> str:
        """What its health check says: starting, healthy or unhealthy."""
        wrapped = self.container.get_wrapped_container()
        wrapped.reload()
        return str(wrapped.attrs["State"]["Health"]["Status"])

    def logs(self) -> str:
        """What it said so far."""
        return b"".join(self.container.get_logs()).decode()

    def said(self, *argv: str) -> str:
        """What a command says that runs in it."""
        return str(self.container.exec(list(argv)).output.decode())

    def await_healthy(self) -> None:
        """Wait until its health check passes.

        Raises:
            NotReadyError: It did not, in time; the message ends with the logs.
        """
        try:
            await_true(lambda: self.health() == "healthy", HEALTHY_S, "healthy", poll_s=0.2)
        except NotReadyError as error:
            raise NotReadyError(f"{error}\n{self.logs()}") from error


@contextlib.contextmanager
def contained(
    image: str,
    *,
    ports: Sequence[int] = (),
    tmpfs: Mapping[str, str] | None = None,
    mounts: Sequence[tuple[str, str, str]] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[Contained]:
    """Run an image as it is meant to be run until the context ends.

    Args:
        image: Its name and tag.
        ports: Published on a free port of loopback each.
        tmpfs: Directories that may be written besides /tmp, with their options.
        mounts: Volumes, or directories of this machine: what, where to, and `ro` or `rw`.
        env: Its environment.
    """
    container = DockerContainer(
        image,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        env=dict(env or {}),
    )
    # Typed more narrowly than what it takes: an address with any free port.
    loopback: Any = ("127.0.0.1", None)
    container.ports.update(dict.fromkeys(map(str, ports), loopback))
    container.tmpfs.update({"/tmp": "", **(tmpfs or {})})  # noqa: S108 - of the container
    for source, target, mode in mounts:
        container.with_volume_mapping(source, target, mode)
    with container:
        yield Contained(container)
