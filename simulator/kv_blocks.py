"""The KV cache as vLLM accounts for it: a pool of equal blocks, here only counted."""

from __future__ import annotations

from simulator.parameters import RESERVED_BLOCKS


class BlockPool:
    """Counts the blocks in use; 0 <= used <= capacity holds between calls.

    `resize` alone may leave used above capacity, until its caller has freed the excess.
    """

    __slots__ = ("block_size", "capacity", "used")

    def __init__(self, num_gpu_blocks: int, block_size: int) -> None:
        self.block_size = block_size
        self.capacity = num_gpu_blocks - RESERVED_BLOCKS
        self.used = 0

    @property
    def num_gpu_blocks(self) -> int:
        """The size of the pool with the reserved block, as vLLM reports it."""
        return self.capacity + RESERVED_BLOCKS

    @property
    def free(self) -> int:
        """Blocks that can still be taken."""
        return self.capacity - self.used

    @property
    def excess(self) -> int:
        """Blocks in use beyond the capacity, after the pool has shrunk."""
        return max(0, self.used - self.capacity)

    @property
    def usage(self) -> float:
        """Share of the capacity in use, 0 to 1."""
        return self.used / self.capacity

    def blocks_for(self, tokens: int) -> int:
        """Return how many blocks hold so many tokens."""
        return -(-tokens // self.block_size)

    def take(self, blocks: int) -> bool:
        """Take blocks if so many are free; say whether they were."""
        if blocks > self.free:
            return False
        self.used += blocks
        return True

    def give(self, blocks: int) -> None:
        """Return blocks to the pool.

        Raises:
            ValueError: when more come back than were out, which is an error of the caller.
        """
        if blocks > self.used:
            raise ValueError(f"{blocks} blocks given back, {self.used} were in use")
        self.used -= blocks

    def resize(self, num_gpu_blocks: int) -> None:
        """Change the size of the pool, the reserved block included.

        Raises:
            ValueError: when nothing but the reserved block would be left.
        """
        if num_gpu_blocks <= RESERVED_BLOCKS:
            raise ValueError(f"num_gpu_blocks: want more than the {RESERVED_BLOCKS} reserved")
        self.capacity = num_gpu_blocks - RESERVED_BLOCKS
