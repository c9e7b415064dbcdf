"""Which generation a file is, and which file is the one that Nginx serves."""

import re
from pathlib import Path

from controller.core.render import parse

_LINE = re.compile(rb'^ *default "([^"\n]*)";$', re.MULTILINE)


def check_text(generation: str, text: str) -> None:
    """Refuse a text that Nginx could never confirm as this generation.

    Raises:
        ValueError: The text is not a whole rendered file, or of another generation.
    """
    found = parse(text)
    if found is None:
        raise ValueError(f"generation {generation}: the text is no whole rendered upstream file")
    if found.generation != generation:
        raise ValueError(f"generation {generation}: the text is of generation {found.generation}")


def choose_served(served: str | None, *paths: Path) -> bytes | None:
    """The content of the first file that holds the generation that Nginx serves.

    After an interrupted call the file in place may be one that Nginx was never told of, and the
    kept one is what it serves. When no file holds that generation, the first that exists is chosen.
    """
    contents = [data for path in paths if (data := _read(path)) is not None]
    for data in contents:
        found = _LINE.search(data)
        if served is not None and found is not None and found[1] == served.encode():
            return data
    return contents[0] if contents else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
