"""An inference engine with continuous batching, second by second.

All running sequences get one token per step, and a step takes s (1 + n / h), longer while prompts
are computed. So one virtual clock of tokens serves all sequences: a sequence ends when the clock
has gone on by as many tokens as it was to get, and nothing has to be counted for each.
"""

import heapq
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

# Prompts are computed in chunks between steps, so that decoding never stands still.
_PREFILL_SHARE_MOST = 0.6
# Blocks are handed out whole: an engine stops admitting a little before the cache is full.
_ADMIT_BELOW = 0.97


@dataclass(frozen=True, slots=True)
class Hardware:
    """What an engine can do.

    Attributes:
        step_s: Length of an empty step.
        sequences_double: Sequences that double it.
        kv_tokens: Tokens that the KV cache holds.
        sequences: Most sequences at once.
        prefill_rate: Prompt tokens computed per second.
    """

    step_s: float
    sequences_double: float
    kv_tokens: int
    sequences: int
    prefill_rate: float


@dataclass(slots=True, eq=False)
class Request:
    """One request, from its arrival at Nginx to its end."""

    pool: str
    arrival_s: float
    prompt: int
    cached: int
    output: int
    scheduled_s: float | None = None
    first_s: float | None = None
    finished_s: float | None = None
    ends_at: float = 0.0
    left: float = 0.0
    preemptions: int = 0


@dataclass(slots=True)
class Done:
    """What a second of work brought.

    Attributes:
        started: Requests whose first token came out.
        finished: Requests that are complete.
        steps: Engine steps.
        step_s: Length of each.
        tokens: Tokens generated.
        preempted: Sequences sent back to the queue.
    """

    started: list[Request] = field(default_factory=list)
    finished: list[Request] = field(default_factory=list)
    steps: float = 0.0
    step_s: float = 0.0
    tokens: float = 0.0
    preempted: int = 0


class Engine:
    """The batch, the queue and the KV cache of one server.

    Attributes:
        slow: How many times longer a step takes than it should; a throttled GPU has 2 or more.
        frozen: Makes no step, though the server in front of it goes on to accept requests.
        foreign_sequences: Sequences of somebody else, who came past Nginx.
        foreign_tokens: Tokens of KV cache that they hold.
    """

    def __init__(self, hardware: Hardware, chance: random.Random) -> None:
        self.hardware = hardware
        self.slow = 1.0
        self.frozen = False
        self.foreign_sequences = 0
        self.foreign_tokens = 0
        self.queue: deque[Request] = deque()
        self.running: list[Request] = []
        self._chance = chance
        self._ends: list[tuple[float, int, Request]] = []
        self._serial = 0
        self._clock = 0.0
        self._base = 0.0

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache in use."""
        return min(1.0, self._kv_used() / self.hardware.kv_tokens)

    @property
    def sequences(self) -> int:
        """Sequences in the batch."""
        return len(self.running) + self.foreign_sequences

    def inside(self) -> Iterator[Request]:
        """All requests it has taken on and not finished."""
        yield from self.running
        yield from self.queue

    def lose_all(self) -> list[Request]:
        """Forget every request, as a process does that dies."""
        lost = list(self.inside())
        self.queue.clear()
        self.running.clear()
        self._ends.clear()
        self._base = self._clock = 0.0
        return lost

    def drop(self, request: Request) -> None:
        """Forget a request whose client went away."""
        if request in self.running:
            self._remove(request)
        else:
            self.queue.remove(request)

    def advance(self, now_s: float) -> Done:
        """Work for a second that begins now."""
        done = Done()
        if self.frozen:
            return done
        prefilled = self._admit(now_s, done)
        count = self.sequences
        if count == 0:
            return done
        share = min(_PREFILL_SHARE_MOST, self.slow * prefilled / self.hardware.prefill_rate)
        growth = 1 + count / self.hardware.sequences_double
        done.step_s = self.hardware.step_s * self.slow * growth / (1 - share)
        done.steps = 1 / done.step_s
        before = self._clock
        self._clock += done.steps
        done.tokens = count * done.steps
        while self._ends and self._ends[0][0] <= self._clock:
            ends_at, _, request = heapq.heappop(self._ends)
            if request not in self.running or request.ends_at != ends_at:
                continue  # it was preempted, and its end lies elsewhere now
            self._remove(request)
            ended_s = now_s + (ends_at - before) / done.steps
            request.finished_s = max(ended_s, (request.first_s or now_s) + done.step_s)
            done.finished.append(request)
        self._preempt(done)
        return done

    def _admit(self, now_s: float, done: Done) -> int:
        """Take from the queue what fits; returns the prompt tokens to compute for it."""
        prefilled, room = 0, _ADMIT_BELOW * self.hardware.kv_tokens
        while self.queue and self.sequences < self.hardware.sequences:
            request = self.queue[0]
            held = request.prompt + max(0.0, request.output - request.left)
            if self._kv_used() + held > room:
                break
            self.queue.popleft()
            computed = request.prompt - request.cached
            # The batch is joined between two steps: at once, or whenever a place became free.
            at_s = max(request.arrival_s, now_s + self._chance.random() - 1)
            if request.first_s is None:
                request.scheduled_s = at_s
                ahead_s = self.slow * (prefilled + computed) / self.hardware.prefill_rate
                request.first_s = at_s + ahead_s + 2 * self.hardware.step_s * self.slow
                done.started.append(request)
            prefilled += computed
            request.ends_at = self._clock + request.left
            self._serial += 1
            heapq.heappush(self._ends, (request.ends_at, self._serial, request))
            self.running.append(request)
            self._base += held - self._clock
        return prefilled

    def _preempt(self, done: Done) -> None:
        while self.running and self._kv_used() > self.hardware.kv_tokens:
            request = self.running[-1]
            left = request.ends_at - self._clock
            self._remove(request)
            request.left, request.preemptions = left, request.preemptions + 1
            self.queue.appendleft(request)
            done.preempted += 1

    def _remove(self, request: Request) -> None:
        self.running.remove(request)
        # It joined when its clock stood at ends_at - left, with all it had been given before.
        joined = request.ends_at - request.left
        self._base -= request.prompt + max(0.0, request.output - request.left) - joined

    def _kv_used(self) -> float:
        return self.foreign_tokens + self._base + len(self.running) * self._clock
