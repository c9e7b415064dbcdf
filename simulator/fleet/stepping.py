"""Engine steps as a kernel: `simulator.engine.Engine`, token for token, on the world's records.

What a step does to sequences and blocks is done when it begins, as there. What others can see of
it (metrics, ended requests) is kept in the engine's `step_` fields until it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.fleet.compiled import compiled

if TYPE_CHECKING:
    from simulator.fleet.layout import Records, World


@compiled
def blocks_for(tokens: int, block_size: int) -> int:
    """Return how many blocks hold so many tokens."""
    return (tokens + block_size - 1) // block_size


@compiled
def fits(engine: Records, request: Records) -> bool:
    """Whether the engine could serve the request when it had nothing else to do."""
    tokens = request.prompt + request.output
    blocks = blocks_for(tokens, engine.block_size)
    return bool(tokens <= engine.max_len and blocks <= engine.capacity)


@compiled
def enqueue(world: World, server: int, index: int) -> None:
    """Put a request at the end of an engine's queue."""
    engine = world.engines[server]
    world.requests[index].next = -1
    if engine.waiting:
        world.requests[engine.tail].next = index
    else:
        engine.head = index
    engine.tail = index
    engine.waiting += 1


@compiled
def unqueue(world: World, server: int, index: int) -> None:
    """Take a request out of an engine's queue, wherever it stands."""
    engine = world.engines[server]
    before, here = -1, engine.head
    while here != index:
        before, here = here, world.requests[here].next
    after = world.requests[here].next
    if before < 0:
        engine.head = after
    else:
        world.requests[before].next = after
    if engine.tail == index:
        engine.tail = before
    engine.waiting -= 1


@compiled
def preempt_last(world: World, server: int) -> None:
    """Send the last admitted sequence back to the front of the queue, its tokens kept."""
    engine = world.engines[server]
    engine.running -= 1
    index = world.batches[server, engine.running]
    request = world.requests[index]
    engine.used -= request.blocks
    request.blocks = 0
    request.room = 0
    request.stored = 0
    request.preemptions += 1
    request.next = engine.head if engine.waiting else -1
    if not engine.waiting:
        engine.tail = index
    engine.head = index
    engine.waiting += 1
    engine.step_preempted += 1


@compiled
def start_step(world: World, server: int, now_s: float) -> None:
    """Do the step that begins now, and note when it ends."""
    engine = world.engines[server]
    batch = world.batches[server]
    requests = world.requests
    size, budget = engine.block_size, engine.budget
    prompt, context, scheduled = 0, 0, 0
    engine.step_preempted = 0
    while scheduled < engine.running and budget > 0:
        request = requests[batch[scheduled]]
        stored = request.stored
        tokens = min(request.target - stored, budget)
        if stored + tokens > request.room:
            lacking = blocks_for(stored + tokens, size) - request.blocks
            while engine.running > scheduled and lacking > engine.capacity - engine.used:
                preempt_last(world, server)
            if engine.running == scheduled:  # it was the last one itself
                break
            engine.used += lacking
            request.blocks += lacking
            request.room = request.blocks * size
        if tokens == 1 and stored >= request.prompt:
            context += stored
        else:
            prompt += tokens
        request.stored = stored + tokens
        budget -= tokens
        scheduled += 1
    while engine.waiting and budget > 0 and engine.running < engine.max_seqs:
        index = engine.head
        request = requests[index]
        if blocks_for(request.target, size) > engine.capacity - engine.used:
            break
        engine.head = request.next
        engine.waiting -= 1
        tokens = min(request.target, budget)
        request.blocks = blocks_for(tokens, size)
        request.room = request.blocks * size
        request.stored = tokens
        engine.used += request.blocks
        batch[engine.running] = index
        engine.running += 1
        prompt += tokens
        budget -= tokens
        scheduled += 1
    duration_s = (
        engine.a + engine.b * prompt + engine.c * scheduled + engine.d * context
    ) / engine.speed
    _emit(world, server, scheduled, now_s + duration_s)


@compiled
def _emit(world: World, server: int, scheduled: int, ended_s: float) -> None:
    """Let a token out of every sequence that is fully stored, and set the ended ones apart."""
    engine = world.engines[server]
    batch = world.batches[server]
    requests = world.requests
    emitted, gaps, first_prompts, leaving = 0, 0, 0, 0
    gap_s = 0.0
    for place in range(scheduled):
        index = batch[place]
        request = requests[index]
        if request.stored < request.target:
            continue
        emitted += 1
        if request.generated:
            gaps += 1
            gap_s += ended_s - request.last_token
        else:
            request.first_token = ended_s
            first_prompts += request.prompt
        request.last_token = ended_s
        request.generated += 1
        request.target += 1
        if request.generated == request.output:
            engine.used -= request.blocks
            request.blocks = 0
            request.room = 0
            world.leaving[server, leaving] = index
            leaving += 1
    if leaving:
        kept = 0
        for place in range(engine.running):
            index = batch[place]
            if requests[index].blocks:
                batch[kept] = index
                kept += 1
        engine.running = kept
    engine.leaving = leaving
    engine.step_emitted = emitted
    engine.step_gaps = gaps
    engine.step_gap_s = gap_s
    engine.step_prompt = first_prompts
    engine.step_waiting = engine.waiting
    engine.step_usage = engine.used / engine.capacity
    world.ends[server] = ended_s


@compiled
def show_step(engine: Records) -> None:
    """Publish what the step that ends now brought."""
    engine.shown_running = engine.running
    engine.shown_waiting = engine.step_waiting
    engine.shown_usage = engine.step_usage
    engine.preemptions += engine.step_preempted
    engine.prompt_tokens += engine.step_prompt
    engine.generation_tokens += engine.step_emitted
    engine.itl_seconds += engine.step_gap_s
    engine.itl_count += engine.step_gaps
    engine.steps += 1
    engine.finished += engine.leaving
    engine.step_preempted = 0
