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

    def load(self) -> tuple[Memory, str]:
        """Read the memory back.

        Returns:
            The memory, and why it is empty (for a person; "" when it was read). A file that cannot
            be used is set aside as `NAME.unusable`, so that nothing is lost.
        """
        try:
            return _DOCUMENT.validate_json(self.path.read_bytes()).memory, ""
        except FileNotFoundError:
            return Memory(), f"{self.path} does not exist yet"
        except OSError as error:
            return Memory(), f"{self.path} cannot be read: {error.strerror}"
        except ValidationError as error:
            aside = self.path.with_name(self.path.name + ".unusable")
            self.path.replace(aside)
            fault = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in fault["loc"]) or "the file"
            return Memory(), f"{self.path} set aside as {aside.name}: {place}: {fault['msg']}"

    def save(self, memory: Memory) -> None:
        """Write the memory.

        Raises:
            OSError: It could not be written; the previous file is intact.
        """
        staged = self.path.with_name(f".{self.path.name}.new")
        text = _DOCUMENT.dump_json(_Document(memory))
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as output:
            output.write(text)
            output.flush()
            os.fsync(output.fileno())
        staged.replace(self.path)
