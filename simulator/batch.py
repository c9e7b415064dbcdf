"""The engine's own bookkeeping: live sequences, and the batch a step works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.engine_values import Request


class Sequence:
    """A live request.

    `target` tokens must be stored before the next token can come out: prompt plus generated.
    `room` is what its blocks can hold. It holds blocks exactly while it is in the running batch.
    """

    __slots__ = (
        "blocks",
        "first_token_s",
        "generated",
        "last_token_s",
        "preemptions",
        "request",
        "room",
        "scheduled_s",
        "stored",
        "target",
    )

    def __init__(self, request: Request) -> None:
        self.request = request
        self.target = request.prompt_tokens
        self.stored = 0
        self.blocks = 0
        self.room = 0
        self.generated = 0
        self.preemptions = 0
        self.scheduled_s = 0.0
        self.first_token_s = 0.0
        self.last_token_s = 0.0


class Batch:
    """What one step is made of, while it is put together; `budget` is the tokens left."""

    __slots__ = ("budget", "context_tokens", "preempted", "prompt_tokens", "sequences")

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.sequences: list[Sequence] = []
        self.preempted: list[str] = []
        self.prompt_tokens = 0
        self.context_tokens = 0

    def schedule(self, sequence: Sequence, tokens: int) -> None:
        """Compute so many more tokens of a sequence in this step."""
        if tokens == 1 and sequence.stored >= sequence.request.prompt_tokens:
            self.context_tokens += sequence.stored
        else:
            self.prompt_tokens += tokens
        sequence.stored += tokens
        self.budget -= tokens
        self.sequences.append(sequence)
