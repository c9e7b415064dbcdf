"""The words that the shell scripts of the project take, as their heads say."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from scripts.check_docs import ROOT
from tests.unit.docs.arguments import is_meant
from tests.unit.docs.containers import images

# What is wrong with the words that a script is given.
Check = Callable[[Sequence[str]], Iterator[str]]


def faults(script: str, arguments: Sequence[str]) -> Iterator[str]:
    """What a shell script of ours would refuse, or never read; one not in `_TAKES` takes nothing.

    Args:
        script: Its path within the project.
        arguments: What a page gives it; options are not judged here.
    """
    if not script.endswith(".sh"):
        return
    # What follows the first option may be its value.
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    if script in _TAKES:
        yield from (f"{script} {fault}" for fault in _TAKES[script](words))
    elif words:
        yield f"{script} takes no {words[0]}"


def _some_of(
    known: Callable[[], frozenset[str]], most: int
) -> Callable[[Sequence[str]], Iterator[str]]:
    def found(words: Sequence[str]) -> Iterator[str]:
        expected = ", ".join(sorted(known()))
        for word in words:
            if is_meant(word) and word not in known():
                yield f"{word}: expected {expected}"
        if len(words) > most:
            yield f"takes {most} words at most"

    return found


def _one(words: Sequence[str]) -> Iterator[str]:
    if len(words) != 1:
        yield f"takes one word, not {len(words)}"


def _anything(_: Sequence[str]) -> Iterator[str]:
    yield from ()


def _packages() -> frozenset[str]:
    text = (ROOT / "scripts/system-packages.sh").read_text().replace("\\\n", "")
    others = re.search(r'^others="([^"]+)"', text, re.MULTILINE)
    assert others
    return frozenset({"python", "nginx", "prometheus", *others[1].split()})


_TAKES: dict[str, Check] = {
    "deploy/alertmanager/render.sh": _one,
    "deploy/alertmanager/start.sh": _anything,
    "deploy/images/build.sh": _some_of(images, 99),
    "deploy/images/mtail.sh": _one,
    "scripts/docker-engine.sh": _some_of(lambda: frozenset({"start", "stop"}), 1),
    "scripts/lock.sh": _anything,
    "scripts/make-venv.sh": _one,
    "scripts/system-packages.sh": _some_of(_packages, 99),
}
