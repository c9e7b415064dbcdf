"""What all tests stand on: the servers they need, and a run that leaves nothing behind."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from lab.processes import PORTS, PORTS_VARIABLE

SERVERS = (
    "nginx",
    "prometheus",
    "prometheus-alertmanager",
    "amtool",
    "prometheus-nginx-exporter",
    "mtail",
    "logrotate",
)

PROC = Path("/proc")
TOKEN = f"VLLM_NGINX_LB_TEST_RUN={uuid.uuid4().hex}"
# A process that was told to end is given this long to be gone.
GONE_S = 20.0
POLL_S = 0.05
LISTEN = "0A"  # the state of a socket in /proc/net/tcp


class FilesAndOneStack(LoadFileScheduling):  # type: ignore[misc]  # it ships no types
    """A file's tests share a process, and so do all that need containers.

    These have the images and the stack in common, and two stacks at a time are too much for most
    machines.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = super()._split_scope(nodeid)
        contained = path.startswith("tests/stack/") and "[native" not in nodeid
        return "containers" if contained else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FilesAndOneStack:
    """How tests are shared out with `-n`."""
    return FilesAndOneStack(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Each of several processes takes its ports from a range of its own."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        first, last = map(int, PORTS.split("-"))
        share = (last + 1 - first) // worker["workercount"]
        first += share * int(worker["workerid"].removeprefix("gw"))
        os.environ[PORTS_VARIABLE] = f"{first}-{first + share - 1}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without its servers an integration test is skipped, or fails where nobody would notice."""
    if item.get_closest_marker("integration") is None:
        return
    missing = [server for server in SERVERS if shutil.which(server) is None]
    if missing:
        reason = f"not on the PATH: {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def _short_prefix() -> str:
    return f"lb{os.getpid()}-"


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory with a name short enough for a unix socket in it, which ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix=_short_prefix()) as name:
        yield Path(name)


@pytest.fixture(scope="session", autouse=True)
def leaves_nothing_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No process that the tests started outlives them, and no port of this process listens on.

    Under pytest-xdist each worker answers for its own.
    """
    if not PROC.is_dir():
        yield
        return
    roots = (
        str(tmp_path_factory.getbasetemp()),
        str(Path(tempfile.gettempdir()) / _short_prefix()),
    )
    name, _, value = TOKEN.partition("=")
    older = _processes()
    older_ports = _own_ports()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        yield
    deadline_s = time.monotonic() + GONE_S
    while (left := _left_processes(older, roots)) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    ports = sorted(_own_ports() - older_ports)
    assert (left, ports) == ([], []), "the tests left processes or listening ports behind"


def _processes() -> set[Path]:
    return {entry for entry in PROC.iterdir() if entry.name.isdigit()}


def _left_processes(older: set[Path], roots: tuple[str, ...]) -> list[str]:
    return [
        f"{entry.name} {_command(entry)}"
        for entry in sorted(_processes() - older)
        if _is_own_child(entry) or _is_ours(entry, roots)
    ]


def _is_own_child(entry: Path) -> bool:
    # The name before the state is in parentheses, and may hold any character.
    after_name = _read(entry / "stat").rpartition(b")")[2].split()
    return bool(after_name) and after_name[0] != b"Z" and int(after_name[1]) == os.getpid()


def _is_ours(entry: Path, roots: tuple[str, ...]) -> bool:
    # A daemon has another parent. It is known by the environment it inherited or, like Nginx which
    # overwrites that with its title, by the directory that it works in.
    if TOKEN.encode() in _read(entry / "environ"):
        return True
    if any(root.encode() in _read(entry / "cmdline") for root in roots):
        return True
    return any(target.startswith(roots) for target in _open_files(entry))


def _open_files(entry: Path) -> list[str]:
    try:
        return [_target(link) for link in (entry / "fd").iterdir()]
    except OSError:  # ended meanwhile, or somebody else's
        return []


def _own_ports() -> set[int]:
    own = set(_open_files(PROC / "self"))
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in _read(PROC / "net" / table).decode().splitlines()[1:]
    ]
    return {
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == LISTEN and f"socket:[{row[9]}]" in own
    }


def _command(entry: Path) -> str:
    return _read(entry / "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
