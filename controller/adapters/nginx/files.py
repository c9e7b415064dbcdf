"""Files that are always whole: written beside their place, flushed, then renamed."""

import contextlib
import os
import tempfile
from pathlib import Path

from controller.core.errors import ActuationError, ActuationFault

_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_POINT_FIELD = 4
_OCTAL = {r"\040": " ", r"\011": "\t", r"\012": "\n", r"\134": "\\"}


def stage(directory: Path, name: str, data: bytes, mode: int) -> Path:
    """Write a dotfile in the directory, flushed to disk, that no `include *.conf` sees.

    Args:
        directory: Where the file is to be renamed later.
        name: Name of the file it will become.
        data: Its whole content.
        mode: Its permission bits, whatever the umask.

    Returns:
        The path of the dotfile; the same for every call, so that nothing piles up after a crash.

    Raises:
        ActuationError: UNSAFE, the directory cannot be written; nothing is left behind.
    """
    path = directory / f".{name}.staged"
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise unsafe(f"cannot write to {directory}: {error.strerror}") from error
    return path


def put(staged: Path, target: Path) -> None:
    """Rename a staged file to its place, durably.

    Raises:
        ActuationError: UNSAFE, the rename failed; the target is as before.
    """
    try:
        staged.replace(target)
    except OSError as error:
        raise unsafe(f"cannot rename to {target}: {error.strerror}") from error
    with contextlib.suppress(
        OSError
    ):  # renamed already: a power cut leaves one whole file or the other
        _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_text(path: Path) -> str | None:
    """The content of a file; None when it is absent or unreadable."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def refuse_single_file_mount(file: Path) -> None:
    """Check that a file can be replaced by rename, here or by whoever owns its directory.

    Raises:
        ActuationError: UNSAFE, with what was found and what to do about it.
    """
    if not file.parent.is_dir():
        raise unsafe(
            f"{file.parent} is not a directory: create it, or mount it into this container"
        )
    if _is_mount_point(file):
        raise unsafe(
            f"{file} is a bind-mounted single file, which cannot be replaced by rename: mount its"
            f" directory {file.parent} instead"
        )


def refuse_unsafe_layout(file: Path) -> None:
    """Check that this process can replace a file by rename.

    Raises:
        ActuationError: UNSAFE, with what was found and what to do about it.
    """
    refuse_single_file_mount(file)
    directory = file.parent
    # Asked of the kernel by doing it: access() knows neither read-only mounts nor every ACL.
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise unsafe(
            f"user {os.geteuid()} cannot create files in {directory}: {error.strerror}; give it"
            " write permission on the directory"
        ) from error


def _is_mount_point(file: Path) -> bool:
    try:
        if file.lstat().st_dev != file.parent.stat().st_dev:
            return True
        mounts = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return False
    # A bind mount of a file of the same filesystem has the same device, but it is listed.
    return str(file.parent.resolve() / file.name) in {
        _unescape(line.split()[_MOUNT_POINT_FIELD]) for line in mounts
    }


def _unescape(field: str) -> str:
    for code, character in _OCTAL.items():
        field = field.replace(code, character)
    return field


def unsafe(message: str) -> ActuationError:
    """The error of a layout that makes a safe swap impossible."""
    return ActuationError(ActuationFault.UNSAFE, message)
