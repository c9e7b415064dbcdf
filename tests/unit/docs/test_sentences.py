"""Commands within sentences and tables name only what is there, as those in blocks do."""

from collections.abc import Iterator

import pytest

from tests.unit.docs.known_commands import CHECKS, OWN, faults_of
from tests.unit.docs.pages import Word, words
from tests.unit.docs.shell import commands

# Such code may also be a mere phrase.
PHRASES = frozenset({"env", "exec", "watch"})
WORDS = words()


def command_faults(text: str) -> Iterator[str]:
    """What a word names that is not there, if it is a command with arguments."""
    first, _, rest = text.partition(" ")
    program = first.rpartition("/bin/")[2]
    is_script = "/" in first and first.endswith(".sh")
    if rest and (is_script or (program in CHECKS and program not in PHRASES)):
        # `vllm-nginx-lb explain` names a command, whatever it needs.
        is_name = program == OWN and rest.isalpha()
        for command in commands(f"{text} --help" if is_name else text):
            yield from faults_of(command)


def _faults(word: Word) -> Iterator[str]:
    try:
        yield from command_faults(word.text)
    except ValueError as error:
        yield f"{word.text}: {error}"


@pytest.mark.parametrize("page", sorted({word.page for word in WORDS}))
def test_commands_in_sentences_name_what_is_there(page: str) -> None:
    """A command that a sentence tells a reader to run is judged as one in a block."""
    here = [word for word in WORDS if word.page == page]
    assert [f"{word.place}: {each}" for word in here for each in _faults(word)] == []


@pytest.mark.parametrize(
    "text",
    [
        "systemctl restart gone",
        "docker compose up gone",
        "scripts/docker-engine.sh sotp",
        ".venv/bin/pytest --frobnicate",
        "vllm-nginx-lb gone",
        "vllm-nginx-lb gone 'x",
    ],
)
def test_a_wrong_command_in_a_sentence_is_told(text: str) -> None:
    """What is wrong with it is found, also where it cannot be read at all."""
    assert list(_faults(Word("p.md:1", "p.md", text)))


@pytest.mark.parametrize(
    "text",
    [
        "docker compose",
        "docker build",
        "systemctl status UNIT",
        "vllm-nginx-lb explain",
        "render.sh DIRECTORY",
        "exec of the shell",
    ],
)
def test_a_mention_is_no_fault(text: str) -> None:
    """A program that is only named, and what a reader replaces, are left alone."""
    assert list(_faults(Word("p.md:1", "p.md", text))) == []
