"""Every fenced block of every page is what its kind says, and names only what is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.unit.docs.kinds import CHECKS, NEEDS_SERVERS
from tests.unit.docs.pages import Block, blocks


def _parameters() -> Iterator[ParameterSet]:
    for block in blocks():
        marks = [pytest.mark.integration] if block.kind in NEEDS_SERVERS else []
        yield pytest.param(block, marks=marks, id=str(block))


@pytest.mark.parametrize("block", list(_parameters()))
def test_a_block_is_what_it_says(block: Block, tmp_path: Path) -> None:
    """Whoever reads such a file accepts it; a program is known, and so are its options."""
    assert block.kind in CHECKS, f"{block.place}: a block of unknown kind {block.kind!r}"
    assert list(CHECKS[block.kind](block.text, tmp_path)) == [], block.place
