"""Routers for comparison, which need no Nginx: they see engines, fresh or exactly.

None of them sends a request to a server that refuses connections, which is more than is true.
"""

from __future__ import annotations

import numpy as np

from simulator.fleet.chance import below
from simulator.fleet.compiled import compiled
from simulator.fleet.layout import (
    ABSENT,
    DEAD,
    POWER_OF_TWO,
    QUEUE_KV,
    SHORTEST_QUEUE,
    WELL,
    Records,
    World,
)
from simulator.fleet.stepping import blocks_for

_ONE = np.uint64(1)


@compiled
def look(world: World) -> None:
    """Read the gauges of all engines, as a router does every few milliseconds."""
    for server in range(len(world.engines)):
        engine = world.engines[server]
        engine.seen_requests = engine.shown_running + engine.shown_waiting
        engine.seen_waiting = engine.shown_waiting
        engine.seen_usage = engine.shown_usage


@compiled
def choose_server(world: World, request: Records) -> int:
    """Choose a server by the router's rule; -1 when all are dead or tried."""
    mode = world.clock[0].mode
    if mode == POWER_OF_TWO:
        return _power_of_two(world, request)
    for server in range(len(world.engines)):
        engine = world.engines[server]
        if not _reachable(engine, request, server):
            engine.score = -np.inf
        elif mode == SHORTEST_QUEUE:
            engine.score = -(engine.inflight + 1) / engine.true_capacity
        elif mode == QUEUE_KV:
            engine.score = 0.0
        else:
            engine.score = -expected_completion_s(world, server, request)
    if mode == QUEUE_KV:
        _score_queue_and_kv(world)
    return _best(world)


@compiled
def _reachable(engine: Records, request: Records, server: int) -> bool:
    if request.tried & (_ONE << np.uint64(server)):
        return False
    return bool(engine.health not in (DEAD, ABSENT))


@compiled
def _power_of_two(world: World, request: Records) -> int:
    """Of two servers drawn at random, the one with fewer requests at the last look."""
    count = 0
    for server in range(len(world.engines)):
        count += _reachable(world.engines[server], request, server)
    if count == 0:
        return -1
    first = below(world.clock[0], count)
    second = below(world.clock[0], count - 1) if count > 1 else 0
    if count > 1 and second >= first:
        second += 1
    return _less_loaded(world, request, first, second)


@compiled
def _less_loaded(world: World, request: Records, first: int, second: int) -> int:
    chosen, place = -1, -1
    for server in range(len(world.engines)):
        if not _reachable(world.engines[server], request, server):
            continue
        place += 1
        if place not in (first, second):
            continue
        if chosen < 0:
            chosen = server
            continue
        ours = world.engines[server].seen_requests
        theirs = world.engines[chosen].seen_requests
        # The first one drawn wins a tie, so that ties favour nobody.
        if ours < theirs or (ours == theirs and place == first):
            chosen = server
    return chosen


@compiled
def _score_queue_and_kv(world: World) -> None:
    """2 * queue + 2 * (1 - kv), where queue is 1 for the shortest and 0 for the longest one."""
    shortest, longest = np.inf, -np.inf
    for server in range(len(world.engines)):
        engine = world.engines[server]
        if engine.score > -np.inf:
            shortest = min(shortest, engine.seen_waiting)
            longest = max(longest, engine.seen_waiting)
    for server in range(len(world.engines)):
        engine = world.engines[server]
        if engine.score > -np.inf:
            queue = 1.0
            if longest > shortest:
                queue = (longest - engine.seen_waiting) / (longest - shortest)
            engine.score = 2 * queue + 2 * (1 - engine.seen_usage)


@compiled
def _best(world: World) -> int:
    """The highest score; ties are drawn."""
    best, ties = -np.inf, 0
    for server in range(len(world.engines)):
        score = world.engines[server].score
        if score > best:
            best, ties = score, 1
        elif score == best:
            ties += 1
    if best == -np.inf:
        return -1
    drawn = below(world.clock[0], ties) if ties > 1 else 0
    for server in range(len(world.engines)):
        if world.engines[server].score == best:
            if drawn == 0:
                return server
            drawn -= 1
    return -1


@compiled
def expected_completion_s(world: World, server: int, request: Records) -> float:
    """When a request would be done here, by what is left to do for the others.

    With n requests there, P prompt tokens not computed yet (this one's included), R tokens still
    to be generated for the n, K tokens in the KV cache, o tokens wanted, and m the most requests
    that fit together (batch limit, and the KV cache at the mean final length):

        step = (a + c min(n + 1, m) + d K) / speed
        time = b P / speed + step * (o + (R / m) * max(0, n + 1 - m) / n)

    The last term is the wait for a place: R / m steps would end all n, and the share of them that
    must end first is (n + 1 - m) / n. A server that is not well never answers.
    """
    engine = world.engines[server]
    if engine.health != WELL:
        return np.inf
    prompts, remaining, context = request.prompt, 0, request.prompt
    final = request.prompt + request.output
    for place in range(engine.running):
        other = world.requests[world.batches[server, place]]
        prompts += max(0, other.target - other.stored - 1)
        remaining += other.output - other.generated
        context += other.stored
        final += other.prompt + other.output
    index = engine.head
    for _ in range(engine.waiting):
        other = world.requests[index]
        prompts += other.target
        remaining += other.output - other.generated
        final += other.prompt + other.output
        index = other.next
    count = engine.running + engine.waiting
    mean_blocks = blocks_for(final // (count + 1) + 1, engine.block_size)
    together = max(1, min(engine.max_seqs, engine.capacity // mean_blocks))
    step_s = engine.a + engine.c * min(count + 1, together) + engine.d * context
    steps = np.float64(request.output)
    if count + 1 > together:
        steps += remaining / together * (count + 1 - together) / count
    return float((engine.b * prompts + step_s * steps) / engine.speed)
