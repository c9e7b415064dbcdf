"""Arguments of programs that are not ours: their options told from the words between these."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Tree:
    """The subcommands of a program, each with its own; none: whatever follows is not ours to judge.

    Attributes:
        below: The subcommands, by name.
    """

    below: Mapping[str, Self]

    @classmethod
    def of(cls, text: str) -> Self:
        """Read `alert(add query) config(routes(show test) show)`."""
        return cls._read(re.findall(r"[^\s()]+|[()]", text))

    @classmethod
    def _read(cls, tokens: list[str]) -> Self:
        below: dict[str, Self] = {}
        name = ""
        while tokens and (token := tokens.pop(0)) != ")":
            if token == "(":
                below[name] = cls._read(tokens)
            else:
                name = token
                below[name] = cls({})
        return cls(below)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What follows a program.

    Attributes:
        options: The options in order, each with its value; an empty one for a mere flag.
        words: All else, in order.
    """

    options: Sequence[tuple[str, str]]
    words: Sequence[str]

    def values(self, *names: str) -> list[str]:
        """The values of an option under all its names, as far as they are no placeholders."""
        return [value for name, value in self.options if name in names and is_meant(value)]


def is_meant(word: str) -> bool:
    """Whether a word is what it says: no variable, no `NAME` that a reader replaces."""
    return bool(re.fullmatch(r"[a-z0-9][a-z0-9@:._/*?-]*", word))


def parted(
    arguments: Sequence[str], with_value: Collection[str], *, leading: bool = False
) -> Arguments:
    """Part arguments.

    Args:
        arguments: Without the program.
        with_value: The options whose value is a word of its own.
        leading: Whether the first word ends the options, as where a program follows.
    """
    options: list[tuple[str, str]] = []
    words: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--" or (leading and not word.startswith("-")):
            words.extend(left if word == "--" else [word, *left])
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, is_set, value = word.partition("=")
        if name in with_value and not is_set and left:
            value = left.pop(0)
        options.append((name, value))
    return Arguments(options, words)


def unknown(program: str, words: Sequence[str], tree: Tree) -> str | None:
    """What is wrong with the subcommand that words begin with, if anything is."""
    so_far = program
    for word in words:
        if not tree.below or not is_meant(word):
            return None
        if word not in tree.below:
            return f"{so_far} has no subcommand {word}; known are {', '.join(sorted(tree.below))}"
        so_far, tree = f"{so_far} {word}", tree.below[word]
    return None
