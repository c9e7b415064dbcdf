"""Keeps the memory across restarts in one JSON file, written whole or not at all."""

import os
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from controller.core.memory import Memory


@dataclass(frozen=True, slots=True)
class _Document:
    memory: Memory
    version: Literal[1] = 1


_DOCUMENT = TypeAdapter(_Document)


class StateFile:
    """The memory on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._aside: Path | None = None

    def load(self) -> tuple[Memory, str]:
        """Read the memory back; touches nothing.

        Returns:
            The memory, and why it is empty (for a person; "" when it was read).
        """
        try:
            return _DOCUMENT.validate_json(self.path.read_bytes()).memory, ""
        except FileNotFoundError:
            return Memory(), f"{self.path} does not exist yet"
        except OSError as error:
            return Memory(), f"{self.path} cannot be read: {error.strerror}"
        except ValidationError as error:
            self._aside = self.path.with_name(self.path.name + ".unusable")
            fault = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in fault["loc"]) or "the file"
            return Memory(), (
                f"{self.path} is not a memory of this program: {place}: {fault['msg']};"
                f" the first save keeps it as {self._aside.name}"
            )

    def save(self, memory: Memory) -> None:
        """Write the memory; a file that could not be used is first set aside, not overwritten.

        Raises:
            OSError: It could not be written; the previous file is intact.
        """
        staged = self.path.with_name(f".{self.path.name}.new")
        text = _DOCUMENT.dump_json(_Document(memory))
        try:
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as output:
                output.write(text)
                output.flush()
                os.fsync(output.fileno())
            if self._aside is not None:
                self.path.replace(self._aside)
                self._aside = None
            staged.replace(self.path)
        except OSError:
            staged.unlink(missing_ok=True)
            raise
