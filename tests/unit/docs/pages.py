"""The pages as values: their fenced blocks and the code within their sentences."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from scripts.check_docs import ROOT, tracked


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        place: Page and line of its first line, for a person.
        page: The page, relative to the project.
        kind: What follows the fence; empty if nothing does.
        text: What is in it, without the indentation of the fence.
    """

    place: str
    page: str
    kind: str
    text: str

    def __str__(self) -> str:
        """Say where it is, for the name of a test."""
        return f"{self.place} {self.kind}"


@dataclass(frozen=True, slots=True)
class Word:
    """Code within a sentence: where it stands and what it says."""

    place: str
    page: str
    text: str


def pages() -> list[Path]:
    """All pages of the project."""
    return tracked(ROOT, "*.md")


def blocks() -> list[Block]:
    """The fenced blocks of all pages."""
    return [block for page in pages() for block in blocks_of(_name(page), page.read_text())]


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for token in _parser().parse(text):
        if token.type == "fence":
            kind = token.info.split()[0] if token.info.split() else ""
            yield Block(f"{page}:{_line(token) + 1}", page, kind, token.content)


def words() -> list[Word]:
    """The code within the sentences of all pages."""
    return [word for page in pages() for word in words_of(_name(page), page.read_text())]


def words_of(page: str, text: str) -> Iterator[Word]:
    """The code within the sentences of a page."""
    for token in _parser().parse(text):
        for part in token.children or ():
            if part.type == "code_inline":
                yield Word(f"{page}:{_line(token)}", page, part.content)


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))
