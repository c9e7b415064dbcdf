"""One controller per directory: two would swap each other's files for ever."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.adapters.nginx.files import unsafe
from controller.core.errors import ActuationError

_NAME = ".controller.lock"
_MODE = 0o644
_MAX_PID_BYTES = 32


class DirectoryLock:
    """The right to write to a directory, for the life of a process.

    The kernel holds the lock and drops it with the process, however that ends. The file stays, and
    says nothing by being there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / _NAME
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            ActuationError: UNSAFE, another process has it, or the directory cannot be written.
        """
        try:
            while self._descriptor is None:
                self._descriptor = self._take()
        except OSError as error:
            raise unsafe(
                f"user {os.geteuid()} cannot keep {self._path}: {error.strerror}; the directory"
                " must be there and writable for the controller"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back."""
        self.close()

    def close(self) -> None:
        """Give the lock back; another controller may take it now."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self) -> int | None:
        """Try once; None when the file was exchanged meanwhile."""
        descriptor, writable = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._is_in_place(descriptor):
                kept = None
            elif writable:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
                kept = descriptor
            else:
                # A file of another user that nobody holds, as after a trial run as root.
                self._path.unlink()
                kept = None
        except BlockingIOError as error:
            holder = self._holder(descriptor)
            os.close(descriptor)
            raise holder from error
        except OSError:
            os.close(descriptor)
            raise
        if kept is None:
            os.close(descriptor)
        return kept

    def _open(self) -> tuple[int, bool]:
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags | os.O_RDWR | os.O_CREAT, _MODE)
        except PermissionError:
            with contextlib.suppress(FileNotFoundError):
                return os.open(self._path, flags | os.O_RDONLY), False
            raise
        with contextlib.suppress(OSError):  # whatever the umask; the mode of a file of root stays
            os.fchmod(descriptor, _MODE)
        return descriptor, True

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.lstat())
        except FileNotFoundError:
            return False

    def _holder(self, descriptor: int) -> ActuationError:
        pid = os.pread(descriptor, _MAX_PID_BYTES, 0).decode(errors="replace").strip()
        who = f"another controller (pid {pid})" if pid.isdigit() else "another controller"
        return unsafe(
            f"{who} keeps {self._directory}; stop it first, or give each controller a directory and"
            " an Nginx of its own"
        )
