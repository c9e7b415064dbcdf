"""The requests an engine works on and what it says about them, as values."""

from __future__ import annotations

from dataclasses import dataclass


class RequestRefusedError(ValueError):
    """A request the engine can never serve: too long for the model or for its whole KV cache."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and the exact length of its answer.

    Attributes:
        id: unique among the live requests of an engine.
        prompt_tokens: tokens to be prefilled, at least 1.
        output_tokens: tokens to be generated, at least 1; the model never stops earlier.
        arrival_s: when it reached the server, in the clock that `Engine.step` is told.
    """

    id: str
    prompt_tokens: int
    output_tokens: int
    arrival_s: float

    def __post_init__(self) -> None:
        """Refuse an empty prompt or answer.

        Raises:
            ValueError: naming the request.
        """
        if self.prompt_tokens < 1 or self.output_tokens < 1:
            raise ValueError(f"request {self.id!r}: want at least one prompt and one output token")


@dataclass(frozen=True, slots=True)
class FinishedRequest:
    """A request with its last token, and when what happened to it (seconds, the engine's clock).

    Attributes:
        request: the request.
        scheduled_s: start of the first step that worked on it.
        first_token_s: when its first token came out.
        finished_s: when its last token came out.
        preemptions: how often it lost its blocks and was computed anew.
    """

    request: Request
    scheduled_s: float
    first_token_s: float
    finished_s: float
    preemptions: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a live request is.

    Attributes:
        running: whether it is in the running batch rather than in the queue.
        stored_tokens: tokens whose KV entries exist.
        blocks: KV blocks it holds.
        generated_tokens: tokens that have come out; a preemption keeps them.
        preemptions: how often it was preempted so far.
    """

    running: bool
    stored_tokens: int
    blocks: int
    generated_tokens: int
    preemptions: int


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one engine step did; its tokens come out at `ended_s`.

    Attributes:
        started_s: when the step began.
        duration_s: how long it lasts; 0 when there was nothing to do.
        emitted: ids of the requests that got one token each, in batch order.
        inter_token_s: for each token that was not a first one, the time since the one before.
        first_tokens: requests whose first token this is.
        finished: requests whose last token this is.
        preempted: ids of requests sent back to the queue, in the order they lost their blocks.
        prompt_tokens: tokens prefilled, those recomputed after a preemption included.
        scheduled_tokens: tokens computed in all, never above max_num_batched_tokens.
        batch: sequences worked on.
        running: size of the batch that stays after the step.
        waiting: length of the queue after the step.
        kv_usage: share of the KV blocks in use after the step, 0 to 1.
    """

    started_s: float
    duration_s: float
    emitted: tuple[str, ...]
    inter_token_s: tuple[float, ...]
    first_tokens: tuple[Request, ...]
    finished: tuple[FinishedRequest, ...]
    preempted: tuple[str, ...]
    prompt_tokens: int
    scheduled_tokens: int
    batch: int
    running: int
    waiting: int
    kv_usage: float

    @property
    def ended_s(self) -> float:
        """When the tokens of this step come out."""
        return self.started_s + self.duration_s


@dataclass(frozen=True, slots=True)
class Resized:
    """What a change of the KV cache's size did to the live requests.

    Attributes:
        preempted: ids sent back to the queue because their blocks are gone.
        refused: ids dropped because they could never finish in the smaller cache.
    """

    preempted: tuple[str, ...]
    refused: tuple[str, ...]
