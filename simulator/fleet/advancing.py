"""The passage of time: the kernel that carries the world from one instant to another.

At one instant, steps end first, then answers of black holes come, then what is periodic happens,
then requests arrive.
"""

from __future__ import annotations

import numpy as np

from simulator.fleet import layout
from simulator.fleet.changing import time_out
from simulator.fleet.choosing import look
from simulator.fleet.compiled import compiled
from simulator.fleet.dispatch import arrive, bounce, close
from simulator.fleet.layout import ABSENT, DEAD, DONE, FROZEN, World
from simulator.fleet.stepping import show_step, start_step


@compiled
def advance(world: World, until_s: float) -> None:
    """Let everything happen that is due at or before an instant, in order of time."""
    clock = world.clock[0]
    servers, requests = len(world.engines), len(world.requests)
    while True:
        server, at_s = -1, np.inf
        for each in range(servers):
            if world.ends[each] < at_s:
                server, at_s = each, world.ends[each]
        bounce_s = np.inf
        if clock.bounce_head < clock.bounce_tail:
            bounce_s = world.bounce_at[clock.bounce_head % len(world.bounces)]
        arrival_s = np.inf
        if clock.next_request < requests:
            arrival_s = world.requests[clock.next_request].arrival
        next_s = min(at_s, bounce_s, clock.next_timer, arrival_s)
        if next_s > until_s or next_s == np.inf:
            break
        if at_s <= min(bounce_s, clock.next_timer, arrival_s):
            clock.now = at_s
            _end_step(world, server, at_s)
        elif bounce_s <= min(clock.next_timer, arrival_s):
            clock.now = bounce_s
            index = world.bounces[clock.bounce_head % len(world.bounces)]
            clock.bounce_head += 1
            bounce(world, index, bounce_s)
        elif clock.next_timer <= arrival_s:
            clock.now = clock.next_timer
            _fire_timers(world, clock.next_timer)
        else:
            clock.now = arrival_s
            clock.next_request += 1
            arrive(world, clock.next_request - 1, arrival_s)
    clock.now = until_s


@compiled
def _end_step(world: World, server: int, now_s: float) -> None:
    """Publish a step, hand its last tokens out, and begin the next one."""
    engine = world.engines[server]
    show_step(engine)
    for place in range(engine.leaving):
        close(world, world.requests[world.leaving[server, place]], now_s, DONE)
    engine.leaving = 0
    if engine.running or engine.waiting:
        start_step(world, server, now_s)
    else:
        world.ends[server] = np.inf


@compiled
def _fire_timers(world: World, now_s: float) -> None:
    """Do what is periodic and due: scrapes, a router's look at the gauges, time-outs."""
    clock = world.clock[0]
    next_s = np.inf
    if clock.fresh_s > 0:
        if clock.next_look <= now_s:
            look(world)
            clock.next_look += clock.fresh_s
        next_s = clock.next_look
    for server in range(len(world.engines)):
        engine = world.engines[server]
        if engine.health == FROZEN:
            if engine.next_timeout <= now_s:
                time_out(world, server, now_s)
            next_s = min(next_s, engine.next_timeout)
        if clock.scrape_s > 0:
            due_s = world.scrape_phase[server] + world.scraped[server] * clock.scrape_s
            if due_s <= now_s:
                _scrape(world, server, due_s)
                due_s = world.scrape_phase[server] + world.scraped[server] * clock.scrape_s
            next_s = min(next_s, due_s)
    clock.next_timer = next_s


@compiled
def _scrape(world: World, server: int, now_s: float) -> None:
    """Take one sample of everything a server shows; `up` alone when it does not answer."""
    engine = world.engines[server]
    count = world.scraped[server]
    world.scraped[server] += 1
    if count >= world.scrapes.shape[1]:
        return
    row = world.scrapes[server, count]
    row[:] = np.nan
    row[layout.AT] = now_s
    if engine.health == ABSENT:  # not even known: nothing is written
        return
    if engine.health == DEAD:
        row[layout.UP] = 0.0
        return
    row[layout.UP] = 1.0
    row[layout.RUNNING] = engine.shown_running
    row[layout.WAITING] = engine.shown_waiting
    row[layout.KV_USAGE] = engine.shown_usage
    row[layout.PREEMPTIONS] = engine.preemptions
    row[layout.PROMPT_TOKENS] = engine.prompt_tokens
    row[layout.GENERATION_TOKENS] = engine.generation_tokens
    row[layout.ITL_SECONDS] = engine.itl_seconds
    row[layout.ITL_COUNT] = engine.itl_count
    row[layout.STEPS] = engine.steps
    row[layout.FINISHED] = engine.finished
    row[layout.ERRORS] = engine.errors
