"""Values as people write them: with units, and nothing that could be two things."""

import math
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from controller.app.values import (
    address,
    duration_s,
    duration_text,
    file_path,
    fraction,
    pool_name,
    selector,
    signal_name,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10),
        ("10 s", 10),
        ("1.5m", 90),
        ("1m30s", 90),
        ("1m 30s", 90),
        ("2h", 7200),
        ("1d", 86400),
        ("0s", 0),
    ],
)
def test_a_duration_has_its_unit(text: str, seconds: float) -> None:
    """Numbers with units, one or several, are seconds."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *(10, 10.0, "10", "", "s", "-1s", "+1s", "1e3s", "10x", "1 0s", "10s,", "10s\n", ".5s"),
        *("\u0661s", None, True, math.inf, "infs", "nans", ["10s"], "9" * 400 + "s"),
    ],
)
def test_a_duration_without_a_unit_is_refused(value: object) -> None:
    """Whatever has no unit, or is no such text, is refused with examples."""
    with pytest.raises(ValueError, match="expected a duration with its unit, such as 500ms, 10s"):
        duration_s(value)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000))
def test_a_duration_is_written_as_it_is_read(seconds: float) -> None:
    """What is printed can be pasted back, to the millisecond."""
    assert duration_s(duration_text(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "500ms"), (10, "10s"), (90, "90s"), (120, "2m"), (7200, "2h"), (0, "0ms")],
)
def test_a_duration_is_written_shortly(seconds: float, text: str) -> None:
    """The largest unit that divides a duration is the one it is written in."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "value"), [("50%", 0.5), ("0%", 0), ("100%", 1), ("12.5 %", 0.125), ("250%", 2.5)]
)
def test_a_share_has_its_sign(text: str, value: float) -> None:
    """A percentage is a fraction."""
    assert fraction(text) == value


@pytest.mark.parametrize("value", [0.5, 50, "50", "0.5", "-5%", "%", "5%%", None, True, "5%\n"])
def test_a_share_without_its_sign_is_refused(value: object) -> None:
    """A bare number could be either, so it is refused."""
    with pytest.raises(ValueError, match="expected a percentage with its sign, such as 50%"):
        fraction(value)


@pytest.mark.parametrize(
    ("text", "matchers"),
    [
        ('job="vllm"', 'job="vllm"'),
        ('{job="vllm"}', 'job="vllm"'),
        (' { job = "vllm" , } ', 'job="vllm"'),
        ('job="vllm", namespace=~"llm-.*"', 'job="vllm",namespace=~"llm-.*"'),
        ('a!="b",c!~"d|e"', 'a!="b",c!~"d|e"'),
        ('path="a,b{c}"', 'path="a,b{c}"'),
        (r'path="a\"b,c"', r'path="a\"b,c"'),
        ('a=""', 'a=""'),
    ],
)
def test_a_selector_is_label_matchers(text: str, matchers: str) -> None:
    """Matchers with or without braces are normalised, and quoted text stays as it is."""
    assert selector(text) == matchers


@pytest.mark.parametrize(
    "value",
    [
        *("", "{}", "job", "job=vllm", "job='vllm'", 'job=="x"', 'job="x" or up', 'job="x"}'),
        *('1a="x"', 'job="x', 'job="a\nb"', 'up{job="x"}', 'job="x"} or up{a="b"'),
        *(None, 5, ["job"], 'a="b"c="d"'),
    ],
)
def test_what_is_no_selector_is_refused(value: object) -> None:
    """Whatever could leave the braces of a query is refused."""
    with pytest.raises(ValueError, match="expected label matchers, such as job="):
        selector(value)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text('ab="\\,{}!~ \n', max_size=25))
def test_no_selector_leaves_its_braces(text: str) -> None:
    """In an accepted selector all quotes are closed, with nothing but matchers outside of them."""
    try:
        found = selector(text)
    except ValueError:
        return
    outside, quoted, escaped = "", False, False
    for character in found:
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        else:
            outside += character
    assert not quoted
    assert set(outside) <= set("ab=!~,")


@pytest.mark.parametrize("value", [None, 5, "10.0.0.1", "a b:80", "a;:80"])
def test_what_is_no_address_is_refused(value: object) -> None:
    """An address is a text of the form host:port."""
    with pytest.raises(ValueError, match=r"expected host:port|expected a host name"):
        address(value)


@pytest.mark.parametrize("value", [None, 5, "", "1a", "a b", "a;"])
def test_what_is_no_pool_name_is_refused(value: object) -> None:
    """A pool name is one that an upstream can have."""
    with pytest.raises(ValueError, match="expected letters, digits"):
        pool_name(value)


@pytest.mark.parametrize("value", [None, 5, "", "KV", "1a", "a-b", "a\n"])
def test_what_is_no_signal_name_is_refused(value: object) -> None:
    """A signal name is lower case with underscores."""
    with pytest.raises(ValueError, match="expected a name in lower case"):
        signal_name(value)


@pytest.mark.parametrize("value", [None, 5, "", "a\0b", True])
def test_what_is_no_path_is_refused(value: object) -> None:
    """A path is a text that is not empty and has no NUL in it."""
    with pytest.raises(ValueError, match="expected a path"):
        file_path(value)


def test_a_path_is_a_path() -> None:
    """A text, or what already is a path, is taken as it is."""
    assert file_path("/run/x") == file_path(Path("/run/x")) == Path("/run/x")
