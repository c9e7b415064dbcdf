"""The commands of a piece of shell, as far as a page needs it; `sh -n` knows the rest."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

PROMPT = re.compile(r"^[$#] ")
HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
SUBSTITUTION = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")
SUBSTITUTED = "SUBSTITUTED"
_SEPARATORS = ";|&()\n"
_REDIRECTIONS = "<>"
_LEADING = frozenset({"do", "then", "else", "if", "elif", "while", "until", "!", "{", "time"})
_NOT_COMMANDS = frozenset({"for", "case", "done", "fi", "esac", "}", "in"})


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command: its words, and the variables that are set for it."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def typed(console: str) -> str:
    """What a person types of a console: lines with a prompt, with those that continue them."""
    lines: list[str] = []
    continued = False
    heredoc = ""
    for line in console.splitlines():
        if heredoc or continued:
            lines.append(line.removeprefix("> "))
        elif PROMPT.match(line):
            lines.append(line[2:])
            found = HEREDOC.search(line)
            heredoc = found[2] if found else ""
        else:
            continue
        continued = not heredoc and line.endswith("\\")
        if heredoc and line.removeprefix("> ").strip() == heredoc:
            heredoc = ""
    return "".join(f"{line}\n" for line in lines)


def commands(script: str) -> Iterator[Command]:
    """The simple commands of a script, those within `$(...)` too.

    Raises:
        ValueError: A quotation is not closed.
    """
    script = _without_heredocs(script).replace("\\\n", " ")
    while found := SUBSTITUTION.search(script):
        yield from commands(found[1] if found[1] is not None else found[2])
        script = script[: found.start()] + SUBSTITUTED + script[found.end() :]
    for words in _statements(script):
        yield from _command(words)


def _without_heredocs(script: str) -> str:
    kept: list[str] = []
    end = ""
    for line in script.splitlines():
        if end:
            end = "" if line.strip() == end else end
            continue
        found = HEREDOC.search(line)
        end = found[2] if found else ""
        kept.append(HEREDOC.sub("", line))
    return "\n".join(kept) + "\n"


def _statements(script: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(script, posix=True, punctuation_chars=_SEPARATORS + _REDIRECTIONS)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    target = comment = False
    for token in lexer:
        is_mark = bool(token) and set(token) <= set(_SEPARATORS + _REDIRECTIONS)
        if comment:
            comment = not (is_mark and "\n" in token)
        elif is_mark and set(token) & set(_REDIRECTIONS):
            target = True
            if words and words[-1].isdigit():
                words.pop()
        elif is_mark:
            yield words
            words = []
        elif target:
            target = False
        elif token.startswith("#"):
            comment = True
            yield words
            words = []
        else:
            words.append(token)
    yield words


def _command(words: list[str]) -> Iterator[Command]:
    while words and words[0] in _LEADING:
        words = words[1:]
    if not words or words[0] in _NOT_COMMANDS:
        return
    variables: dict[str, str] = {}
    while words and (found := ASSIGNMENT.fullmatch(words[0])):
        variables[found[1]] = found[2]
        words = words[1:]
    yield Command(tuple(words), variables)
