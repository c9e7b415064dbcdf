"""The accounts of the KV cache."""

from __future__ import annotations

import pytest

from simulator.kv_blocks import BlockPool


def test_reserved_block_is_never_handed_out() -> None:
    """Of n blocks, n - 1 can be taken, and then the cache is full."""
    pool = BlockPool(num_gpu_blocks=5, block_size=16)
    assert pool.take(4)
    assert (pool.free, pool.usage) == (0, 1.0)
    assert not pool.take(1)
    assert pool.take(0)


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 1), (16, 1), (17, 2), (32, 2)])
def test_tokens_fill_whole_blocks(tokens: int, blocks: int) -> None:
    """A block is taken for its first token."""
    assert BlockPool(5, 16).blocks_for(tokens) == blocks


def test_failed_take_takes_nothing() -> None:
    """Blocks are handed out all together or not at all."""
    pool = BlockPool(5, 16)
    assert not pool.take(5)
    assert pool.used == 0


def test_too_many_given_back() -> None:
    """Giving back more than was taken is an error of the caller."""
    pool = BlockPool(5, 16)
    pool.take(2)
    with pytest.raises(ValueError, match="3 blocks given back, 2"):
        pool.give(3)


def test_shrinking_shows_the_excess() -> None:
    """A pool that shrank below its use says how many blocks are too many."""
    pool = BlockPool(9, 16)
    pool.take(6)
    pool.resize(5)
    assert (pool.excess, pool.num_gpu_blocks) == (2, 5)
    pool.give(2)
    assert (pool.excess, pool.free) == (0, 0)
