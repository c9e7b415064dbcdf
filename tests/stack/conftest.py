"""What tests in containers stand on: a Docker engine, and the images of this tree."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest

from tests.stack import leftovers
from tests.stack.composed import Composed, composed

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "scripts" / "docker-engine.sh"
STAND_INS = ROOT / "scripts" / "stand-in-images.sh"
FETCH = ROOT / "deploy" / "images" / "fetch.sh"
BUILD = ROOT / "deploy" / "images" / "build.sh"

# Where these tests must run, as in the continuous integration, no engine is a failure.
REQUIRED = "LB_STACK"
# Where no registry can be reached, `yes` has the public images made of Debian packages.
STAND_IN = "LB_STAND_IN"
# The exit code of docker-engine.sh that means: none, and it may not start one.
NO_ENGINE = 3


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with what it said."""
    return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=None, cwd=ROOT)


def succeed(*argv: str | Path) -> str:
    """Run a command that has to succeed; the test fails with its last words otherwise."""
    done = run(*argv)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        pytest.fail(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{said}")
    return done.stdout


def answers() -> bool:
    """Whether a Docker engine answers."""
    try:
        return run("docker", "info").returncode == 0
    except FileNotFoundError:
        return False


def missing(reason: str) -> None:
    """Skip, or fail where nobody may notice that nothing was tested."""
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{REQUIRED}=required, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def ends_in_order() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl+C does, so that fixtures take down what they brought up.

    Containers are no children of these tests: nothing else would end them. A second signal, as
    `timeout` and `make` pass on one each, does not disturb that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told = False

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        nonlocal told
        if not told:
            told = True
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def engine(
    leaves_nothing_behind: None, ends_in_order: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A Docker engine with `docker compose`; one that is started here is ended here."""
    # Only for the order: what is started here ends before the one looks, and while the other holds.
    del leaves_nothing_behind, ends_in_order
    was_there = answers()
    done = run(ENGINE)
    if done.returncode == NO_ENGINE:
        missing(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Where `docker compose` had to be brought in, it is found in a directory of its own.
            patch.setenv("DOCKER_CONFIG", succeed(ENGINE, "config").strip())
            # Compose 1.29 gives the engine a minute to create a container, of many at once.
            patch.setenv("COMPOSE_HTTP_TIMEOUT", "300")
            yield
        left = leftovers.removed(leftovers.labels(tmp_path_factory.getbasetemp()))
        assert left == [], "the tests left these in the engine"
    finally:
        if not was_there:
            succeed(ENGINE, "stop")


@pytest.fixture(scope="session")
def images(engine: None) -> Sequence[str]:
    """The four images, built of this tree; Docker's cache makes that short when nothing changed."""
    del engine
    if os.environ.get(STAND_IN) == "yes":
        succeed(STAND_INS)
        succeed(FETCH)
    succeed(BUILD)
    return [f"vllm-nginx-lb/{name}:0.1.0" for name in ("controller", "nginx", "simulator", "mtail")]


@pytest.fixture(scope="session")
def composed_stack(
    images: Sequence[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composed]:
    """The project of docker-compose.yml, for all tests that need one."""
    del images
    with composed(tmp_path_factory.mktemp("compose")) as stand:
        yield stand
