"""What can happen to a server: it dies, freezes, returns, changes its speed or its KV cache."""

from __future__ import annotations

import numpy as np

from simulator.fleet.compiled import compiled
from simulator.fleet.dispatch import close
from simulator.fleet.layout import ABSENT, BLACK_HOLE, DEAD, FAILED, FROZEN, WELL, World
from simulator.fleet.stepping import fits, preempt_last, start_step, unqueue


@compiled
def set_speed(world: World, server: int, speed: float) -> None:
    """Change an engine's speed from its next step on."""
    world.engines[server].speed = speed


@compiled
def fail(world: World, server: int, health: int, now_s: float) -> None:
    """Cut everything a server works on, and leave it dead or a black hole."""
    engine = world.engines[server]
    for place in range(engine.leaving):
        close(world, world.requests[world.leaving[server, place]], now_s, FAILED)
    for place in range(engine.running):
        close(world, world.requests[world.batches[server, place]], now_s, FAILED)
    index = engine.head
    for _ in range(engine.waiting):
        close(world, world.requests[index], now_s, FAILED)
        index = world.requests[index].next
    engine.health = health
    engine.used = engine.running = engine.waiting = engine.leaving = 0
    engine.step_preempted = 0
    engine.shown_running = engine.shown_waiting = engine.shown_usage = 0.0
    engine.resumes_at = engine.next_timeout = np.inf
    world.ends[server] = np.inf


@compiled
def freeze(world: World, server: int, now_s: float) -> None:
    """Stop an engine behind a live API; requests time out after their last sign of life."""
    engine = world.engines[server]
    engine.health = FROZEN
    engine.resumes_at = world.ends[server]
    world.ends[server] = np.inf
    engine.next_timeout = now_s  # the check finds out when the first one is really due
    world.clock[0].next_timer = min(world.clock[0].next_timer, now_s)


@compiled
def _last_sign(world: World, index: int, now_s: float) -> float:
    request = world.requests[index]
    sign_s = request.dispatched
    if request.generated:
        sign_s = max(sign_s, min(request.last_token, now_s))
    return float(sign_s)


@compiled
def time_out(world: World, server: int, now_s: float) -> None:
    """End the requests in a frozen engine that have waited too long, and note the next one."""
    engine = world.engines[server]
    timeout_s = world.clock[0].timeout_s
    next_s = np.inf
    kept = 0
    for place in range(engine.leaving):
        index = world.leaving[server, place]
        due_s = _last_sign(world, index, now_s) + timeout_s
        if due_s <= now_s:
            close(world, world.requests[index], now_s, FAILED)
        else:
            world.leaving[server, kept] = index
            kept += 1
            next_s = min(next_s, due_s)
    engine.leaving = kept
    kept = 0
    for place in range(engine.running):
        index = world.batches[server, place]
        due_s = _last_sign(world, index, now_s) + timeout_s
        if due_s <= now_s:
            request = world.requests[index]
            engine.used -= request.blocks
            request.blocks = request.room = 0
            close(world, request, now_s, FAILED)
        else:
            world.batches[server, kept] = index
            kept += 1
            next_s = min(next_s, due_s)
    engine.running = kept
    index = engine.head
    for _ in range(engine.waiting):
        after = world.requests[index].next
        due_s = _last_sign(world, index, now_s) + timeout_s
        if due_s <= now_s:
            unqueue(world, server, index)
            close(world, world.requests[index], now_s, FAILED)
        else:
            next_s = min(next_s, due_s)
        index = after
    engine.next_timeout = next_s


@compiled
def recover(world: World, server: int, now_s: float) -> None:
    """Make a server well: a frozen one goes on, any other is a new process."""
    engine = world.engines[server]
    if engine.health == FROZEN:
        engine.health = WELL
        engine.next_timeout = np.inf
        if engine.resumes_at < np.inf:
            world.ends[server] = max(engine.resumes_at, now_s)
        elif engine.running or engine.waiting:
            start_step(world, server, now_s)
        engine.resumes_at = np.inf
        return
    if engine.health in (DEAD, BLACK_HOLE, ABSENT):
        engine.health = WELL
        engine.preemptions = engine.prompt_tokens = engine.generation_tokens = 0.0
        engine.itl_seconds = engine.itl_count = 0.0
        engine.steps = engine.finished = engine.errors = 0.0


@compiled
def resize(world: World, server: int, num_gpu_blocks: int, now_s: float) -> None:
    """Change the KV cache; what no longer fits at all fails, what does not fit now waits anew."""
    engine = world.engines[server]
    engine.capacity = num_gpu_blocks - 1
    kept = 0
    for place in range(engine.running):
        index = world.batches[server, place]
        request = world.requests[index]
        if fits(engine, request):
            world.batches[server, kept] = index
            kept += 1
        else:
            engine.used -= request.blocks
            request.blocks = request.room = 0
            close(world, request, now_s, FAILED)
    engine.running = kept
    index = engine.head
    for _ in range(engine.waiting):
        after = world.requests[index].next
        if not fits(engine, world.requests[index]):
            unqueue(world, server, index)
            close(world, world.requests[index], now_s, FAILED)
        index = after
    pending = engine.step_preempted
    engine.step_preempted = 0
    while engine.used > engine.capacity:
        preempt_last(world, server)
    engine.preemptions += engine.step_preempted
    engine.step_preempted = pending
