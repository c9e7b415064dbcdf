"""Puts vLLM for CPUs, the two peer routers, a plugin's path and a tiny model into a cache folder.

Nothing of it is a dependency of the project, and much of it contradicts the project's own pins, so
it lives in virtual environments of its own. The lock files name every package with its version;
where pip finds them is the machine's own setting.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

from bench.real.model import write_model

PLUGIN = Path(__file__).with_name("plugin")
LOCKS = {name: Path(__file__).with_name(f"{name}.lock") for name in ("vllm", "routers")}

# The environments take 2.8 GB; pip needs room for the wheels beside them.
DISK_GB = 6.0
# Four servers of 0.9 GB, a client of 0.6 GB, and the rest of the laboratory.
MEMORY_GB = 6.0
INSTALL_S = 1800.0

_PINNED_FOR = "Linux on x86_64"
_STAMP = ".made-from-lock"
_MEMINFO = Path("/proc/meminfo")
_KIB_PER_GB = 1e6


class SkippedError(Exception):
    """This machine cannot run real vLLM; the message says why."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Where the foreign programs are.

    Attributes:
        vllm: The command of vLLM, server and client.
        routers: The directory with the commands of the peer routers.
        model: The directory with model and tokenizer.
    """

    vllm: Path
    routers: Path
    model: Path


def cache_dir() -> Path:
    """Where everything is kept that need not be made anew."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vllm-nginx-lb" / "bench-real"


def install(cache: Path) -> Installed:
    """Install what is missing.

    Raises:
        SkippedError: This machine cannot have it.
    """
    cache.mkdir(parents=True, exist_ok=True)
    if reason := why_not(f"{platform.system()} on {platform.machine()}"):
        raise SkippedError(reason)
    for name, lock in LOCKS.items():
        _environment(cache / name, lock)
    write_model(cache / "model")
    return Installed(cache / "vllm" / "bin" / "vllm", cache / "routers" / "bin", cache / "model")


def why_not(machine: str) -> str | None:
    """Why this machine cannot run it, before anything is installed; None when nothing is known."""
    if machine != _PINNED_FOR:
        return f"bench/real/vllm.lock is for {_PINNED_FOR}, and this is {machine}"
    available_gb = memory_gb(_MEMINFO.read_text())
    if available_gb < MEMORY_GB:
        return f"{available_gb:.1f} GB of memory are available, {MEMORY_GB:g} GB are needed"
    return None


def memory_gb(meminfo: str) -> float:
    """The available memory that /proc/meminfo tells."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines())
    return int(fields["MemAvailable"].split()[0]) / _KIB_PER_GB


def pinned(lock: str) -> dict[str, str]:
    """The versions that a lock file pins, by name."""
    pairs = (line.split(";")[0].strip().partition("==") for line in lock.splitlines())
    return {name: version for name, _, version in pairs if version}


def _environment(directory: Path, lock: Path) -> None:
    """Make the virtual environment, unless it was made from this lock already."""
    stamp = directory / _STAMP
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    free_gb = shutil.disk_usage(directory.parent).free / 1e9
    if free_gb < DISK_GB:
        raise SkippedError(
            f"{free_gb:.1f} GB are free in {directory.parent}, {DISK_GB:g} GB are needed"
        )
    print(f"installing what bench/real/{lock.name} pins into {directory}", flush=True)
    venv.create(directory, clear=True, with_pip=True)
    _pip_install(directory / "bin" / "python", lock)
    stamp.write_text(wanted)


def _pip_install(python: Path, lock: Path) -> None:
    # The lock is complete: --no-deps leaves out what vLLM names but a CPU without images and sound
    # does not use, such as torchvision.
    argv: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    argv += ["--only-binary=:all:", "--disable-pip-version-check", "-r", lock]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        raise SkippedError(f"pip did not install {lock.name} within {INSTALL_S:g} s") from None
    if done.returncode:
        raise SkippedError(f"pip cannot install {lock.name}: {pip_fault(done.stderr)}")


def pip_fault(stderr: str) -> str:
    """What pip says is wrong, in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it said nothing"])[-1]
