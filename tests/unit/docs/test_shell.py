"""The commands of a page are read as a shell would read them."""

import pytest

from tests.unit.docs.shell import Command, commands, typed


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("make test # all", [("make", "test")]),
        ("a 1 | b 2 && c; d &", [("a", "1"), ("b", "2"), ("c",), ("d",)]),
        ("a 'x | y' \"z ; w\" >/dev/null 2>&1\nb", [("a", "x | y", "z ; w"), ("b",)]),
        ("a \\\n  --b\n", [("a", "--b")]),
        ("cat > f <<'EOF'\nrm -rf x\nEOF\nb", [("cat",), ("b",)]),
        ("for i in 1 2; do a $i; done", [("a", "$i")]),
        ("if a; then b; fi", [("a",), ("b",)]),
        ('kill "$(cat /run/nginx.pid)"', [("cat", "/run/nginx.pid"), ("kill", "SUBSTITUTED")]),
        ("(set -a; . f; b)", [("set", "-a"), (".", "f"), ("b",)]),
        ("curl http://a/b#c", [("curl", "http://a/b#c")]),
    ],
)
def test_a_script_is_its_commands(script: str, expected: list[tuple[str, ...]]) -> None:
    """Pipes, lists, loops, comments, redirections and here-documents are told from words."""
    assert [command.words for command in commands(script)] == expected


def test_variables_before_a_command_are_its_own() -> None:
    """`A=1 b` is the command `b`, with A set for it."""
    assert list(commands("A=1 B='x y' b c")) == [Command(("b", "c"), {"A": "1", "B": "x y"})]


def test_only_what_has_a_prompt_was_typed() -> None:
    """Output of a console is no command; continued lines belong to theirs."""
    console = "$ a \\\n    b\nerror  x  (y\n# c\n$ cat <<EOF\n> d\n> EOF\nsaid\n"
    assert typed(console) == "a \\\n    b\nc\ncat <<EOF\nd\nEOF\n"
