"""From a request's arrival to its fate: where it is sent, again or not, and how it ends."""

from __future__ import annotations

import numpy as np

from simulator.fleet.chance import below
from simulator.fleet.choosing import choose_server
from simulator.fleet.compiled import compiled
from simulator.fleet.layout import (
    ABSENT,
    BAD,
    BLACK_HOLE,
    DEAD,
    EPOCHS,
    FAILED,
    GOOD,
    LEAST_CONN,
    REFUSED,
    SHED,
    WELL,
    Records,
    World,
)
from simulator.fleet.nginx import choose_peer, free_peer, is_full, tries_for
from simulator.fleet.stepping import blocks_for, enqueue, fits, start_step

_ONE = np.uint64(1)


@compiled
def arrive(world: World, index: int, now_s: float) -> None:
    """Take in a request that arrives now."""
    clock = world.clock[0]
    request = world.requests[index]
    clock.open += 1
    if clock.mode > LEAST_CONN:
        request.table = -1
        request.tries = len(world.engines)
        if clock.tries > 0:
            request.tries = min(request.tries, clock.tries)
    else:
        replica = below(clock, clock.replicas) if clock.replicas > 1 else 0
        if clock.long_from > 0:
            table = int(request.prompt >= clock.long_from)
        else:
            table = below(clock, clock.tables) if clock.tables > 1 else 0
        request.table = replica * clock.tables + table
        request.tries = tries_for(world, request.table)
    send(world, index, now_s)


@compiled
def send(world: World, index: int, now_s: float) -> None:
    """Send a request to the first server chosen that accepts connections, or end it."""
    request = world.requests[index]
    while True:
        server = _choose(world, request, now_s)
        if server < 0:
            _turn_away(world, index, now_s)
            return
        health = world.engines[server].health
        if health not in (DEAD, ABSENT):
            break
        leave(world, request, now_s, BAD)
        request.tries -= 1
        if request.tries <= 0:
            end(world, request, now_s, FAILED)
            return
        request.retries += 1
    engine = world.engines[server]
    request.server = server
    request.dispatched = now_s
    engine.inflight += 1
    if health == BLACK_HOLE:
        clock = world.clock[0]
        place = clock.bounce_tail % len(world.bounces)
        world.bounces[place] = index
        world.bounce_at[place] = now_s + clock.answer_500_s
        clock.bounce_tail += 1
    elif not fits(engine, request):
        close(world, request, now_s, REFUSED)
    else:
        enqueue(world, server, index)
        if health == WELL:
            if world.ends[server] == np.inf:
                start_step(world, server, now_s)
        else:
            due_s = now_s + world.clock[0].timeout_s
            engine.next_timeout = min(engine.next_timeout, due_s)
            world.clock[0].next_timer = min(world.clock[0].next_timer, due_s)


@compiled
def _choose(world: World, request: Records, now_s: float) -> int:
    if request.table < 0:
        server = choose_server(world, request)
        if server >= 0:
            request.tried |= _ONE << np.uint64(server)
        return server
    line = choose_peer(world, request.table, request, now_s)
    if line < 0:
        return -1
    replica = request.table // world.clock[0].tables
    request.peer = line
    request.epoch = world.reloads[replica]
    world.old_streams[replica, request.epoch % EPOCHS] += 1
    return line % len(world.engines)


@compiled
def _turn_away(world: World, index: int, now_s: float) -> None:
    """End a request for which there is no server: shed when only for lack of room."""
    request = world.requests[index]
    if request.table >= 0 and is_full(world, request.table, now_s):
        for server in range(len(world.engines)):
            if has_room(world, server, request):
                request.had_room = 1
        end(world, request, now_s, SHED)
    else:
        end(world, request, now_s, FAILED)


@compiled
def has_room(world: World, server: int, request: Records) -> bool:
    """Whether an engine could serve the request at once, and well.

    The batch has a place for it beside all that are there, the KV cache has blocks for it to its
    end beside the prompts that wait, all prompts with its own would be computed within the time to
    first token aimed at, and a decoding step with everybody would last no longer than the
    inter-token latency aimed at.
    """
    clock = world.clock[0]
    engine = world.engines[server]
    # Those that end with the step under way still count: nobody has been told yet.
    together = engine.inflight + 1
    if engine.health != WELL or together > engine.max_seqs:
        return False
    blocks = engine.used + blocks_for(request.prompt + request.output, engine.block_size)
    prompts = request.prompt
    index = engine.head
    for _ in range(engine.waiting):
        waiting = world.requests[index]
        blocks += blocks_for(waiting.target, engine.block_size)
        prompts += waiting.target
        index = waiting.next
    if blocks > engine.capacity or engine.b * prompts / engine.speed > clock.slo_ttft_s:
        return False
    context = engine.used * engine.block_size + prompts
    step_s = (engine.a + engine.c * together + engine.d * context) / engine.speed
    return bool(step_s <= clock.slo_itl_s)


@compiled
def bounce(world: World, index: int, now_s: float) -> None:
    """Let a black hole's 500 arrive: pass it on, or try the next server."""
    clock = world.clock[0]
    request = world.requests[index]
    engine = world.engines[request.server]
    engine.errors += 1
    if clock.retry_500 and request.tries > 1:
        engine.inflight -= 1
        leave(world, request, now_s, BAD)
        request.tries -= 1
        request.retries += 1
        send(world, index, now_s)
    else:
        close(world, request, now_s, FAILED)


@compiled
def leave(world: World, request: Records, now_s: float, outcome: int) -> None:
    """Count a request out at the Nginx that sent it, if those workers still count."""
    if request.table < 0:
        return
    replica = request.table // world.clock[0].tables
    world.old_streams[replica, request.epoch % EPOCHS] -= 1
    if request.epoch == world.reloads[replica]:
        free_peer(world, request.table, request.peer, now_s, outcome)


@compiled
def close(world: World, request: Records, now_s: float, status: int) -> None:
    """End a request that is with a server.

    Nginx calls it a success even when it was cut: it no longer judges once it has the header, and
    a server that streams sends that at once.
    """
    world.engines[request.server].inflight -= 1
    leave(world, request, now_s, GOOD)
    end(world, request, now_s, status)


@compiled
def end(world: World, request: Records, now_s: float, status: int) -> None:
    """Write down a request's fate."""
    request.finished = now_s
    request.status = status
    if request.first_token > now_s:  # of a step that never ended
        request.first_token = np.nan
    world.clock[0].open -= 1
