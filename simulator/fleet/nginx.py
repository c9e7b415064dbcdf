"""Nginx's choice of a server, as its round-robin and least_conn modules make it (1.11.5 and later).

`least_conn`: the fewest connections per weight, compared without a division; ties go to smooth
weighted round robin among the tied. A line is passed over while it is `down`, at its `max_conns`,
already tried for this request, or failed `max_fails` times within `fail_timeout`. When no primary
line is left, the same is done among the backups. Nginx knows the time in whole seconds.
"""

from __future__ import annotations

import numpy as np

from simulator.fleet.compiled import compiled
from simulator.fleet.layout import BAD, LEAST_CONN, Records, World

_ONE = np.uint64(1)


@compiled
def _open(clock: Records, peer: Records, second: int) -> bool:
    """Whether a line may be chosen but for its number of connections."""
    if not peer.present or peer.down:
        return False
    failed = clock.max_fails > 0 and peer.fails >= clock.max_fails
    return not (failed and second - peer.checked <= clock.fail_timeout)


@compiled
def _full(peer: Records) -> bool:
    return bool(peer.max_conns > 0 and peer.conns >= peer.max_conns)


@compiled
def _candidate(world: World, peer: Records, tried: np.uint64, bit: int, second: int) -> bool:
    if tried & (_ONE << np.uint64(bit)):
        return False
    return _open(world.clock[0], peer, second) and not _full(peer)


@compiled
def _least(world: World, peers: Records, tried: np.uint64, second: int) -> tuple[int, bool]:
    """The first line with the fewest connections per weight, and whether others equal it."""
    best, many = -1, False
    for line in range(len(peers)):
        peer = peers[line]
        if not _candidate(world, peer, tried, line, second):
            continue
        if best < 0:
            best = line
            continue
        ours = peer.conns * peers[best].weight
        theirs = peers[best].conns * peer.weight
        if ours < theirs:
            best, many = line, False
        elif ours == theirs:
            many = True
    return best, many


@compiled
def _in_turn(world: World, peers: Records, tried: np.uint64, second: int, least: int) -> int:
    """Smooth weighted round robin among the lines that equal the line `least`; -1 for none.

    With `least` -1 it is among all that may be chosen.
    """
    best, total = least, 0
    for line in range(max(least, 0), len(peers)):
        peer = peers[line]
        if not _candidate(world, peer, tried, line, second):
            continue
        if least >= 0 and peer.conns * peers[least].weight != peers[least].conns * peer.weight:
            continue
        peer.current += peer.effective
        total += peer.effective
        if peer.effective < peer.weight:
            peer.effective += 1
        if best < 0 or peer.current > peers[best].current:
            best = line
    if best >= 0:
        peers[best].current -= total
    return best


@compiled
def _among(world: World, peers: Records, tried: np.uint64, second: int) -> int:
    """Choose among the lines of one group, primary or backup; -1 for none."""
    clock = world.clock[0]
    best, many = -1, True
    if clock.mode == LEAST_CONN:
        best, many = _least(world, peers, tried, second)
        if best < 0:
            return -1
    if many:
        best = _in_turn(world, peers, tried, second, best)
    if best >= 0 and second - peers[best].checked > clock.fail_timeout:
        peers[best].checked = second
    return best


@compiled
def _only(peers: Records) -> int:
    """The place of the upstream's only line; -1 when there are more."""
    found = -1
    for line in range(len(peers)):
        if peers[line].present:
            if found >= 0:
                return -1
            found = line
    return found


@compiled
def choose_peer(world: World, table: int, request: Records, now_s: float) -> int:
    """Choose a line for a request and count it there; -1 when there is none."""
    servers = len(world.engines)
    second = int(np.floor(now_s))
    peers = world.peers[table]
    only = _only(peers)
    if only >= 0:
        # A single server is never given up, and may be tried as often as tries are left.
        peer = peers[only]
        if peer.down or _full(peer):
            return -1
        peer.conns += 1
        return only
    while True:
        base = servers if request.backups else 0
        line = _among(world, peers[base : base + servers], request.tried, second)
        if line >= 0:
            request.tried |= _ONE << np.uint64(line)
            peers[base + line].conns += 1
            return base + line
        if request.backups or not _has_backups(peers, servers):
            return -1
        request.backups = 1
        request.tried = np.uint64(0)


@compiled
def _has_backups(peers: Records, servers: int) -> bool:
    for line in range(servers, 2 * servers):  # noqa: SIM110 - kernels have no any()
        if peers[line].present:
            return True
    return False


@compiled
def tries_for(world: World, table: int) -> int:
    """How many servers a request may be sent to: every line that is not down, or the limit."""
    count = 0
    peers = world.peers[table]
    for line in range(len(peers)):
        if peers[line].present and not peers[line].down:
            count += 1
    limit = world.clock[0].tries
    return min(count, limit) if limit > 0 else count


@compiled
def is_full(world: World, table: int, now_s: float) -> bool:
    """Whether a line that is neither down nor failed is at its max_conns."""
    second = int(np.floor(now_s))
    peers = world.peers[table]
    for line in range(len(peers)):
        peer = peers[line]
        if _open(world.clock[0], peer, second) and _full(peer):
            return True
    return False


@compiled
def free_peer(world: World, table: int, line: int, now_s: float, outcome: int) -> None:
    """Count a request out, and judge the server by how it went."""
    peers = world.peers[table]
    peer = peers[line]
    peer.conns -= 1
    if _only(peers) >= 0:
        return
    max_fails = world.clock[0].max_fails
    if outcome == BAD:
        second = int(np.floor(now_s))
        peer.fails += 1
        peer.accessed = second
        peer.checked = second
        if max_fails > 0:
            peer.effective = max(0, peer.effective - peer.weight // max_fails)
    elif peer.accessed < peer.checked:
        # It was let through to see whether the server is well again, and it is.
        peer.fails = 0


@compiled
def forget(world: World, replica: int) -> None:
    """Reload a replica: new workers know nothing of what is in flight or failed."""
    world.reloads[replica] += 1
    tables = world.clock[0].tables
    for table in range(replica * tables, (replica + 1) * tables):
        for line in range(world.peers.shape[1]):
            peer = world.peers[table, line]
            peer.effective = peer.weight
            peer.current = 0
            peer.conns = 0
            peer.fails = 0
            peer.accessed = 0
            peer.checked = 0
