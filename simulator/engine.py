"""A continuous-batching engine after vLLM's V1 scheduler, as a pure model: it is told the time.

One step gives every running sequence the tokens it lacks (one, once its prompt is computed), in
the order they were admitted; what remains of the token budget goes to the head of the queue, as a
chunk of its prompt when it does not fit whole. So decodes come first, and at most one prompt is
ever half computed. A sequence that needs a block when none is free takes those of the last
admitted one, which goes back to the front of the queue and is computed anew, its tokens kept.

Progress is certain: the first running sequence can take every other one's blocks, and one that
would not fit alone is refused when it is added.
"""

from __future__ import annotations

from collections import deque

from simulator.batch import Batch, Sequence
from simulator.engine_values import (
    FinishedRequest,
    Progress,
    Request,
    RequestRefusedError,
    Resized,
    StepResult,
)
from simulator.kv_blocks import BlockPool
from simulator.parameters import EngineParameters

__all__ = [
    "Engine",
    "EngineParameters",
    "FinishedRequest",
    "Progress",
    "Request",
    "RequestRefusedError",
    "Resized",
    "StepResult",
]


class Engine:
    """One engine: add requests, call `step` with the time each step begins."""

    def __init__(self, parameters: EngineParameters, speed: float = 1.0) -> None:
        self.parameters = parameters
        self._pool = BlockPool(parameters.num_gpu_blocks, parameters.block_size)
        self._running: list[Sequence] = []
        self._waiting: deque[Sequence] = deque()
        self._live: dict[str, Sequence] = {}
        self._speed = 1.0
        self.speed = speed

    @property
    def speed(self) -> float:
        """How many times faster than its parameters the engine steps."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError(f"speed: want a finite number > 0, got {speed}")
        self._speed = speed

    @property
    def num_running(self) -> int:
        """Sequences in the running batch."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Requests in the queue, preempted ones included."""
        return len(self._waiting)

    @property
    def kv_usage(self) -> float:
        """Share of the KV blocks in use, 0 to 1."""
        return self._pool.usage

    @property
    def num_gpu_blocks(self) -> int:
        """The present size of the KV cache in blocks, the reserved one included."""
        return self._pool.num_gpu_blocks

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._live)

    def progress(self, request_id: str) -> Progress:
        """Return how far a live request is; KeyError when there is none of that id."""
        sequence = self._live[request_id]
        return Progress(
            running=sequence.blocks > 0,
            stored_tokens=sequence.stored,
            blocks=sequence.blocks,
            generated_tokens=sequence.generated,
            preemptions=sequence.preemptions,
        )

    def add(self, request: Request) -> None:
        """Put a request at the end of the queue.

        Raises:
            RequestRefusedError: when it can never be served here.
            ValueError: when its id is in use.
        """
        if request.id in self._live:
            raise ValueError(f"request {request.id!r} is already in the engine")
        self.check(request)
        sequence = Sequence(request)
        self._live[request.id] = sequence
        self._waiting.append(sequence)

    def check(self, request: Request) -> None:
        """Say whether a request could be served here, as the engine is now.

        Raises:
            RequestRefusedError: when it is too long for the model or for the whole KV cache.
        """
        tokens = request.prompt_tokens + request.output_tokens
        if tokens > self.parameters.max_model_len:
            raise RequestRefusedError(
                f"request {request.id!r} needs {tokens} tokens, "
                f"the model's context is {self.parameters.max_model_len}"
            )
        if not self._can_ever_fit(request):
            raise RequestRefusedError(
                f"request {request.id!r} needs {tokens} tokens, "
                f"the KV cache holds {self._pool.capacity * self._pool.block_size}"
            )

    def abort(self, request_id: str) -> bool:
        """Drop a live request and free its blocks; say whether there was one."""
        sequence = self._live.pop(request_id, None)
        if sequence is None:
            return False
        if sequence.blocks:
            self._running.remove(sequence)
            self._release(sequence)
        else:
            self._waiting.remove(sequence)
        return True

    def preempt_all(self) -> tuple[str, ...]:
        """Send every running request back to the queue, in order, as when the KV cache is lost."""
        preempted: list[str] = []
        while self._running:
            self._preempt_last(preempted)
        return tuple(preempted)

    def set_num_gpu_blocks(self, num_gpu_blocks: int) -> Resized:
        """Change the size of the KV cache; what no longer fits goes back to the queue.

        Raises:
            ValueError: when not one block to hand out would be left.
        """
        self._pool.resize(num_gpu_blocks)
        refused = tuple(
            request_id
            for request_id, sequence in self._live.items()
            if not self._can_ever_fit(sequence.request)
        )
        for request_id in refused:
            self.abort(request_id)
        preempted: list[str] = []
        while self._pool.excess:
            self._preempt_last(preempted)
        return Resized(tuple(preempted), refused)

    def step(self, now_s: float) -> StepResult:
        """Do the step that begins at `now_s`, and say what comes of it."""
        batch = Batch(self.parameters.max_num_batched_tokens)
        self._schedule_running(batch)
        self._admit(batch, now_s)
        duration_s = 0.0
        if batch.sequences:
            duration_s = (
                self.parameters.step_s(
                    batch.prompt_tokens, len(batch.sequences), batch.context_tokens
                )
                / self._speed
            )
        return self._emit(batch, now_s, duration_s)

    def _can_ever_fit(self, request: Request) -> bool:
        tokens = request.prompt_tokens + request.output_tokens
        return self._pool.blocks_for(tokens) <= self._pool.capacity

    def _schedule_running(self, batch: Batch) -> None:
        """Give each running sequence the tokens it lacks, preempting from the end for blocks."""
        running = self._running
        index = 0
        while index < len(running) and batch.budget:
            sequence = running[index]
            tokens = min(sequence.target - sequence.stored, batch.budget)
            if sequence.stored + tokens > sequence.room:
                while len(running) > index and not self._grow(sequence, tokens):
                    self._preempt_last(batch.preempted)
                if len(running) == index:  # it was the last one itself
                    break
            batch.schedule(sequence, tokens)
            index += 1

    def _admit(self, batch: Batch, now_s: float) -> None:
        """Move requests from the queue to the batch while tokens, places and blocks last."""
        while (
            self._waiting
            and batch.budget
            and len(self._running) < self.parameters.max_num_seqs
            # Room for the whole prompt, or prompts half computed would evict one another. It also
            # keeps out, in the same step, one that was just preempted for lack of room.
            and self._pool.blocks_for(self._waiting[0].target) <= self._pool.free
        ):
            sequence = self._waiting.popleft()
            tokens = min(sequence.target, batch.budget)
            self._grow(sequence, tokens)
            if not sequence.preemptions:
                sequence.scheduled_s = now_s
            self._running.append(sequence)
            batch.schedule(sequence, tokens)

    def _emit(self, batch: Batch, now_s: float, duration_s: float) -> StepResult:
        """Let a token out of every sequence that is fully stored, and end those that are done."""
        ended_s = now_s + duration_s
        emitted: list[str] = []
        gaps: list[float] = []
        first_tokens: list[Request] = []
        finished: list[FinishedRequest] = []
        for sequence in batch.sequences:
            if sequence.stored < sequence.target:
                continue
            request = sequence.request
            emitted.append(request.id)
            if sequence.generated:
                gaps.append(ended_s - sequence.last_token_s)
            else:
                sequence.first_token_s = ended_s
                first_tokens.append(request)
            sequence.last_token_s = ended_s
            sequence.generated += 1
            sequence.target += 1
            if sequence.generated == request.output_tokens:
                finished.append(self._finish(sequence))
        if finished:
            self._running = [s for s in self._running if s.blocks]
        return StepResult(
            started_s=now_s,
            duration_s=duration_s,
            emitted=tuple(emitted),
            inter_token_s=tuple(gaps),
            first_tokens=tuple(first_tokens),
            finished=tuple(finished),
            preempted=tuple(batch.preempted),
            prompt_tokens=batch.prompt_tokens,
            scheduled_tokens=self.parameters.max_num_batched_tokens - batch.budget,
            batch=len(batch.sequences),
            running=len(self._running),
            waiting=len(self._waiting),
            kv_usage=self._pool.usage,
        )

    def _finish(self, sequence: Sequence) -> FinishedRequest:
        """Free a sequence that is done; the caller takes it out of the running batch."""
        del self._live[sequence.request.id]
        self._release(sequence)
        return FinishedRequest(
            request=sequence.request,
            scheduled_s=sequence.scheduled_s,
            first_token_s=sequence.first_token_s,
            finished_s=sequence.last_token_s,
            preemptions=sequence.preemptions,
        )

    def _grow(self, sequence: Sequence, tokens: int) -> bool:
        """Take the blocks for so many more tokens; say whether they were free."""
        lacking = self._pool.blocks_for(sequence.stored + tokens) - sequence.blocks
        if not self._pool.take(lacking):
            return False
        sequence.blocks += lacking
        sequence.room = sequence.blocks * self._pool.block_size
        return True

    def _release(self, sequence: Sequence) -> None:
        self._pool.give(sequence.blocks)
        sequence.blocks = sequence.room = 0

    def _preempt_last(self, preempted: list[str]) -> None:
        """Send the last admitted sequence back to the front of the queue, its tokens kept."""
        sequence = self._running.pop()
        self._release(sequence)
        sequence.stored = 0
        sequence.preemptions += 1
        self._waiting.appendleft(sequence)
        preempted.append(sequence.request.id)
