"""Whatever a configuration file holds, it loads or its faults are told."""

from typing import Any

import hypothesis.strategies as st
import yaml
from hypothesis import example, given, settings

from .files import MINIMAL, faults

WORDS = ["name", "mode", "local", "pools", "prometheus", "ladder", "10s", "50%", 'job="x"', "<<"]
YAML_BITS = [
    *"&*[]{}:,-?!|>%@`'\"#~\n \t",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "!!set ",
    "\\ud800",
    *WORDS,
]
FULL = (
    MINIMAL
    + """\
  confirm_url: unix:/run/x.sock:/gen
control: {interval: 10s, dead_band: 50%}
telemetry: {listen: "127.0.0.1:9808"}
state: {file: /run/x}
"""
)
PLACES = [
    ("prometheus",),
    ("prometheus", "url"),
    ("prometheus", "headers"),
    ("prometheus", "basic_auth"),
    ("pools",),
    ("pools", 0),
    ("pools", 0, "name"),
    ("pools", 0, "selector"),
    ("pools", 0, "signals"),
    ("pools", 0, "policy"),
    ("pools", 0, "health"),
    ("pools", 0, "when_full"),
    ("pools", 0, "upstream"),
    ("pools", 0, "discovery"),
    ("pools", 0, "backends"),
    ("pools", 0, "backends", 0),
    ("pools", 0, "backends", 0, "address"),
    ("nginx",),
    ("nginx", "mode"),
    ("nginx", "directory"),
    ("nginx", "confirm_url"),
    ("nginx", "replicas"),
    ("control",),
    ("control", "interval"),
    ("telemetry",),
    ("state",),
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(WORDS)
    | st.dates()
    | st.binary(max_size=4)
)
keys = st.sampled_from([*WORDS, "weights", "thresholds", "regex", "hold", "strikes"]) | scalars
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.text() | st.lists(st.sampled_from(YAML_BITS)).map("".join))
def test_any_text_is_loaded_or_refused(text: str) -> None:
    """No text makes the reader fail in another way than by naming faults."""
    assert faults(text) != []


@settings(deadline=None, derandomize=True, max_examples=150)
@example([(0, 0, "? !!set {a, b}\n: 1\n")])
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(FULL)),
            st.integers(0, 12),
            st.lists(st.sampled_from(YAML_BITS), max_size=3).map("".join),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_mistyped_file_is_loaded_or_refused(edits: list[tuple[int, int, str]]) -> None:
    """A good file with anything deleted or put in is read, or its faults are told."""
    text = FULL
    for at, length, put in edits:
        text = text[:at] + put + text[at + length :]
    assert all(fault.isprintable() for fault in faults(text))


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.sampled_from(PLACES), trees)
def test_any_value_at_any_place_is_loaded_or_refused(
    place: tuple[str | int, ...], value: object
) -> None:
    """Whatever stands where something else is expected is a fault and not a crash."""
    root: Any = yaml.safe_load(FULL)
    inner = root
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    assert all(fault.isprintable() for fault in faults(yaml.safe_dump(root, sort_keys=False)))
