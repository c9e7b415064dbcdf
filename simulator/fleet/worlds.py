"""The world at its beginning: idle engines, and an Nginx just started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.fleet import layout
from simulator.fleet.layout import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.fleet.layout import Records
    from simulator.fleet.pool import Pool, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the world works beside its engines.

    Attributes:
        mode: how a server is chosen, a constant of `layout`.
        replicas: Nginx instances, each with its own counters; a request goes to any of them.
        tables: sets of counters per replica: 1 with a `zone`, else one per worker.
        long_from: prompt tokens from which a request takes the second of two tables; 0 to draw
            the table.
        max_fails: failures after which Nginx passes over a server; 0 for never.
        fail_timeout_s: for how long, and how far apart failures may lie; whole seconds.
        tries: servers a request is sent to at most; 0 for all.
        retry_500: whether a 500 counts as a failure and is tried elsewhere, if there is one left.
        scrape_s: time between scrapes; 0 for no Prometheus.
        fresh_s: time between a comparison router's looks at the gauges; 0 for none.
        answer_500_s: what a black hole takes for its answer.
        timeout_s: silence after which the client of a frozen engine gives up.
        slo_ttft_s: time within which a server with room has computed all prompts it was given.
        slo_itl_s: the longest step of a server with room.
    """

    mode: int = layout.LEAST_CONN
    replicas: int = 1
    tables: int = 1
    long_from: int = 0
    max_fails: int = 2
    fail_timeout_s: int = 30
    tries: int = 0
    retry_500: bool = False
    scrape_s: float = 0.0
    fresh_s: float = 0.0
    answer_500_s: float = 0.002
    timeout_s: float = 60.0
    slo_ttft_s: float = 2.0
    slo_itl_s: float = 0.1


def new_world(
    pool: Pool, workload: Workload, rules: Rules, *, seed: int = 0, horizon_s: float = 0.0
) -> World:
    """Make a world at time 0; there is room for scrapes up to the horizon."""
    count, requests = len(pool.engines), len(workload)
    most_seqs = max(spec.parameters.max_num_seqs for spec in pool.engines)
    draw = np.random.Generator(np.random.PCG64(seed))
    scrapes = int(horizon_s / rules.scrape_s) + 2 if rules.scrape_s > 0 else 0
    return World(
        clock=_clock(rules, int(draw.integers(2**63))),
        requests=_requests(workload),
        engines=_engines(pool),
        ends=np.full(count, np.inf),
        batches=np.zeros((count, most_seqs), np.int32),
        leaving=np.zeros((count, most_seqs), np.int32),
        peers=_peers(rules.replicas * rules.tables, count),
        reloads=np.zeros(rules.replicas, np.int64),
        old_streams=np.zeros((rules.replicas, layout.EPOCHS), np.int64),
        bounces=np.zeros(requests + 1, np.int32),
        bounce_at=np.zeros(requests + 1),
        scrapes=np.full((count, scrapes, layout.SCRAPE_COLUMNS), np.nan),
        scraped=np.zeros(count, np.int64),
        scrape_phase=draw.random(count) * rules.scrape_s,
    )


def _clock(rules: Rules, seed: int) -> Records:
    clock = np.zeros(1, layout.CLOCK)
    clock["rng"] = seed
    clock["mode"] = rules.mode
    clock["replicas"] = rules.replicas
    clock["tables"] = rules.tables
    clock["long_from"] = rules.long_from
    clock["max_fails"] = rules.max_fails
    clock["fail_timeout"] = rules.fail_timeout_s
    clock["tries"] = rules.tries
    clock["retry_500"] = rules.retry_500
    clock["scrape_s"] = rules.scrape_s
    clock["fresh_s"] = rules.fresh_s
    clock["answer_500_s"] = rules.answer_500_s
    clock["timeout_s"] = rules.timeout_s
    clock["slo_ttft_s"] = rules.slo_ttft_s
    clock["slo_itl_s"] = rules.slo_itl_s
    return clock


def _requests(workload: Workload) -> Records:
    requests = np.zeros(len(workload), layout.REQUEST)
    requests["arrival"] = workload.arrival_s
    requests["prompt"] = workload.prompt_tokens
    requests["target"] = workload.prompt_tokens
    requests["output"] = workload.output_tokens
    for name in ("dispatched", "first_token", "last_token", "finished"):
        requests[name] = np.nan
    for name in ("next", "table", "peer", "server"):
        requests[name] = -1
    return requests


def _engines(pool: Pool) -> Records:
    engines = np.zeros(len(pool.engines), layout.ENGINE)
    for engine, spec in zip(engines, pool.engines, strict=True):
        parameters = spec.parameters
        engine["budget"] = parameters.max_num_batched_tokens
        engine["max_seqs"] = parameters.max_num_seqs
        engine["max_len"] = parameters.max_model_len
        engine["capacity"] = parameters.num_gpu_blocks - 1
        engine["block_size"] = parameters.block_size
        engine["a"] = parameters.step_base_s
        engine["b"] = parameters.step_per_prompt_token_s
        engine["c"] = parameters.step_per_sequence_s
        engine["d"] = parameters.step_per_context_token_s
        engine["speed"] = spec.speed
    engines["resumes_at"] = engines["next_timeout"] = np.inf
    engines["true_capacity"] = 1.0
    return engines


def _peers(tables: int, servers: int) -> Records:
    peers = np.zeros((tables, 2 * servers), layout.PEER)
    peers["weight"] = peers["effective"] = 1
    peers["present"][:, :servers] = 1
    return peers


@dataclass(frozen=True, slots=True)
class Line:
    """One server line of an upstream; a server that stands in none is absent from it.

    Attributes:
        weight: at least 1.
        down: whether it gets no request.
        max_conns: most requests in flight; None for no limit.
        reserve: whether it stands among the backups alone.
    """

    weight: int = 1
    down: bool = False
    max_conns: int | None = None
    reserve: bool = False


def write_lines(
    world: World,
    replica: int,
    lines: Sequence[Line | None],
    *,
    backups: bool,
    table: int | None = None,
) -> None:
    """Put an upstream into one replica's tables, as if it had always stood there.

    What Nginx counted is kept; a reload is a `forget` beside it.

    Args:
        world: the world.
        replica: which Nginx.
        lines: one per server, None for a server that is not in the upstream.
        backups: whether the live servers stand there again, as backups without a limit, once one
            of them has a limit or is a reserve.
        table: only into this one of the replica's tables; None for all.
    """
    tables, servers = int(world.clock[0]["tables"]), len(lines)
    spill = backups and any(
        line and (line.max_conns or line.reserve) and not line.down for line in lines
    )
    first, count = (0, tables) if table is None else (table, 1)
    for peers in world.peers[replica * tables + first :][:count]:
        for server, line in enumerate(lines):
            for peer, limited in ((peers[server], True), (peers[servers + server], False)):
                peer["present"] = line is not None and (
                    not line.reserve if limited else spill and not line.down
                )
                if line is not None:
                    peer["weight"] = peer["effective"] = line.weight
                    peer["down"] = line.down
                    peer["max_conns"] = (line.max_conns or 0) if limited else 0
