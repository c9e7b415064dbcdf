"""A copy of this machine, booted by systemd in namespaces of its own; nothing is left of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.processes import Child, NotReadyError, await_true, child

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_S = 60.0
TOOLS = ("curl", "ip", "nsenter", "openssl", "pgrep", "pivot_root", "runuser", "unshare")
SAME_PYTHON = "import ensurepip, sys, venv; print(*sys.version_info[:2], sep='.')"
# What a machine does at boot and a copy must not: it would reach the kernel that both share.
MASKED = (
    "systemd-modules-load systemd-pstore systemd-remount-fs systemd-sysctl systemd-timesyncd"
    " systemd-udev-trigger systemd-udevd"
)
# Arguments: a directory, the checkout, the directory of control groups, the masked services.
BOOT = """
set -eu
dir=$1 checkout=$2
root=$dir/layers/root
hostname booted
mkdir "$dir/layers"
mount -t tmpfs tmpfs "$dir/layers"
# layer LOWER PLACE: a directory that is the lower one until somebody writes to it. With xino its
# files and directories have one device number, as on a disk.
layer() {
    work=$(mktemp -d -p "$dir/layers")
    mkdir "$work/upper" "$work/work"
    mount -t overlay overlay \
        -o "xino=on,lowerdir=$1,upperdir=$work/upper,workdir=$work/work" "$2"
}
mkdir "$root"
layer / "$root"
mkdir -p "$root$checkout"
layer "$checkout" "$root$checkout"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mountpoint -q "$root/sys/fs/cgroup" || mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/systemd/system"
for service in $3; do ln -s /dev/null "$root/run/systemd/system/$service.service"; done
printf '[Unit]\\nRequires=basic.target\\nAfter=basic.target\\nAllowIsolate=yes\\n' \
    >"$root/run/systemd/system/booted.target"
: >"$root/etc/fstab"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
touch "$dir/mounted"
# No chroot: in one the kernel makes no user namespaces, which services ask for.
cd "$root"
pivot_root . .
umount --lazy .
exec env -i container=booted PATH="$PATH" /lib/systemd/systemd --unit=booted.target
"""


@dataclass(frozen=True, slots=True)
class Host:
    """The booted copy.

    Attributes:
        pid: Its first process, as this machine numbers it.
    """

    pid: int

    def command(self, *argv: str | Path) -> list[str]:
        """What runs a command there, as root and in the checkout."""
        enter = ["nsenter", "-t", str(self.pid), "--all", "env", "-i"]
        settings = [f"PATH={PATH}", "HOME=/root", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER=cat"]
        return [*enter, f"--chdir={ROOT}", *settings, *(str(part) for part in argv)]

    def run(self, script: str, timeout_s: float = 60) -> str:
        """What shell commands print; one that fails ends them and the test."""
        done = self.attempt(script, timeout_s)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(self, script: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """What shell commands print, and how they end."""
        return subprocess.run(
            self.command("sh", "-euc", script),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )


@contextlib.contextmanager
def booted(directory: Path) -> Iterator[Host]:
    """Boot a copy of this machine; it ends with the context. Skips where that cannot be done."""
    _skip_without_means()
    groups = _control_groups()
    with contextlib.ExitStack() as stack:
        group = groups / f"booted-{os.getpid()}"
        group.mkdir()
        stack.callback(_remove, group)
        enter = f'echo $$ >"{group}/cgroup.procs"\nexec "$@"'
        apart = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork"]
        boot = ["sh", "-c", BOOT, "sh", str(directory), str(ROOT), MASKED]
        argv = ["sh", "-euc", enter, "sh", *apart, "--kill-child", *boot]
        mounted = directory / "mounted"
        try:
            parent = stack.enter_context(
                child(argv, directory / "boot.log", ready=mounted.exists, env={"PATH": PATH})
            )
        except NotReadyError as error:
            if mounted.exists():
                raise
            pytest.skip(f"no copy of this machine can be booted here: {error}")
        host = Host(_only_child(parent))
        # With the first process all others end; asked politely, systemd would take its time.
        stack.callback(os.kill, host.pid, signal.SIGKILL)
        await_true(lambda: _is_up(host), BOOT_S, "systemd has booted", poll_s=0.2)
        yield host


def _skip_without_means() -> None:
    """Skip where a copy cannot be booted, or could not be used.

    In the continuous integration, what is only not installed is a failure.
    """
    if not SYSTEMD.exists():
        _not_installed("systemd is not installed")
    if missing := [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]:
        _not_installed(f"not on the PATH of a service: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("booting a copy of this machine needs root")
    # The packages of this environment are given to one that is made there.
    asked = ["python3", "-c", SAME_PYTHON]
    environment = {"PATH": PATH}
    done = subprocess.run(asked, check=False, capture_output=True, text=True, env=environment)
    wanted = "{}.{}".format(*sys.version_info)
    if done.stdout.strip() != wanted:
        pytest.skip(f"python3 of the distribution is not {wanted} with venv, as that of the tests")


def _not_installed(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _control_groups() -> Path:
    """Where control groups of version 2 can be made."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(place)
    pytest.skip("no control groups of version 2 can be written")


def _only_child(parent: Child) -> int:
    listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    (pid,) = listed
    return int(pid)


def _is_up(host: Host) -> bool:
    return host.attempt("systemctl is-active booted.target").stdout.strip() == "active"


def _remove(group: Path) -> None:
    # The kernel empties the groups of killed processes a moment after these are gone.
    def is_removed() -> bool:
        for inner in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                inner.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()
        return not group.exists()

    await_true(is_removed, 10, f"{group} is empty")


def install_from_here(host: Host, venv: str) -> None:
    """Give a virtual environment there what the lock names, from this one and without a network."""
    host.run(
        f"{sys.executable} {Path(__file__).with_name('copy_packages.py')} {venv}", timeout_s=240
    )
