"""The state of the world as arrays of records, which Python and the kernels share.

Times are seconds of virtual time, NaN for never. Indices of requests and servers are -1 for none.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

Records: TypeAlias = Any
"""An array of records, or one record; numpy's types know no named fields."""

# What became of a request.
PENDING: Final = 0
DONE: Final = 1
FAILED: Final = 2  # cut, timed out, answered 5xx, or no server to be had
SHED: Final = 3  # a fast 503: every server that could take it is at its max_conns
REFUSED: Final = 4  # longer than the model's context or the whole KV cache

# How a server is.
WELL: Final = 0
DEAD: Final = 1  # refuses connections
BLACK_HOLE: Final = 2  # answers 500 at once
FROZEN: Final = 3  # accepts requests, and makes no step
ABSENT: Final = 4  # does not exist yet, for nobody

# How Nginx judges a server by one request.
GOOD: Final = 0
BAD: Final = 1

# How a server is chosen.
ROUND_ROBIN: Final = 0
LEAST_CONN: Final = 1
POWER_OF_TWO: Final = 2
QUEUE_KV: Final = 3
SHORTEST_QUEUE: Final = 4
ORACLE: Final = 5

# Columns of a scrape.
(
    AT,
    UP,
    RUNNING,
    WAITING,
    KV_USAGE,
    PREEMPTIONS,
    PROMPT_TOKENS,
    GENERATION_TOKENS,
    ITL_SECONDS,
    ITL_COUNT,
    STEPS,
    FINISHED,
    ERRORS,
) = range(13)
SCRAPE_COLUMNS: Final = 13
FIRST_COUNTER: Final = PREEMPTIONS

# Reloads whose old workers are told apart; far more than can have streams at a time.
EPOCHS: Final = 1024
MOST_SERVERS: Final = 64  # one bit each in a request's set of servers already tried

REQUEST: Final = np.dtype(
    [
        ("arrival", "f8"),
        ("dispatched", "f8"),
        ("first_token", "f8"),
        ("last_token", "f8"),
        ("finished", "f8"),
        ("tried", "u8"),
        ("prompt", "i4"),
        ("output", "i4"),
        # As in simulator.batch.Sequence.
        ("target", "i4"),
        ("stored", "i4"),
        ("blocks", "i4"),
        ("room", "i4"),
        ("generated", "i4"),
        ("preemptions", "i4"),
        ("next", "i4"),  # the request behind it in its engine's queue
        ("epoch", "i4"),  # reloads before its dispatch
        ("table", "i4"),  # the Nginx worker it came through
        ("peer", "i4"),  # the line of the upstream it was sent along
        ("server", "i4"),
        ("tries", "i4"),  # tries left
        ("retries", "i4"),
        ("status", "i1"),
        ("backups", "i1"),  # whether the primary lines were all full or ill
        ("had_room", "i1"),  # shed though a server could have served it well
    ],
    align=True,
)

ENGINE: Final = np.dtype(
    [
        ("budget", "i8"),
        ("max_seqs", "i8"),
        ("max_len", "i8"),
        ("capacity", "i8"),
        ("block_size", "i8"),
        ("a", "f8"),
        ("b", "f8"),
        ("c", "f8"),
        ("d", "f8"),
        ("speed", "f8"),
        ("health", "i8"),
        ("used", "i8"),
        ("running", "i8"),
        ("waiting", "i8"),
        ("head", "i8"),
        ("tail", "i8"),
        ("inflight", "i8"),  # requests sent there and not ended, as an exact router counts them
        # The step under way: what is known of it outside only when it ends.
        ("leaving", "i8"),
        ("step_emitted", "i8"),
        ("step_gaps", "i8"),
        ("step_gap_s", "f8"),
        ("step_prompt", "i8"),
        ("step_preempted", "i8"),
        ("step_waiting", "i8"),
        ("step_usage", "f8"),
        ("resumes_at", "f8"),  # when the step that a freeze holds up would have ended
        ("next_timeout", "f8"),
        # What /metrics shows.
        ("shown_running", "f8"),
        ("shown_waiting", "f8"),
        ("shown_usage", "f8"),
        ("preemptions", "f8"),
        ("prompt_tokens", "f8"),
        ("generation_tokens", "f8"),
        ("itl_seconds", "f8"),
        ("itl_count", "f8"),
        ("steps", "f8"),
        ("finished", "f8"),
        ("errors", "f8"),
        ("true_capacity", "f8"),  # requests per second at saturation, for exact routers
        # As a router saw it when it last looked.
        ("seen_requests", "f8"),
        ("seen_waiting", "f8"),
        ("seen_usage", "f8"),
        ("score", "f8"),
    ],
    align=True,
)

PEER: Final = np.dtype(
    [
        ("weight", "i8"),
        ("effective", "i8"),
        ("current", "i8"),
        ("conns", "i8"),
        ("max_conns", "i8"),  # 0 for no limit
        ("fails", "i8"),
        ("accessed", "i8"),
        ("checked", "i8"),
        ("down", "i8"),
        ("present", "i8"),
    ],
    align=True,
)

CLOCK: Final = np.dtype(
    [
        ("now", "f8"),
        ("rng", "u8"),
        ("next_request", "i8"),
        ("next_timer", "f8"),
        ("bounce_head", "i8"),
        ("bounce_tail", "i8"),
        ("open", "i8"),  # requests that arrived and have no fate yet
        # Settings.
        ("mode", "i8"),
        ("replicas", "i8"),
        ("tables", "i8"),  # sets of counters per replica: one, or one per worker without a zone
        ("long_from", "i8"),  # prompts from here on take the second table; 0 for no such split
        ("max_fails", "i8"),
        ("fail_timeout", "i8"),
        ("tries", "i8"),  # 0 for as many as there are servers
        ("retry_500", "i8"),
        ("scrape_s", "f8"),
        ("fresh_s", "f8"),
        ("next_look", "f8"),
        ("answer_500_s", "f8"),
        ("timeout_s", "f8"),
        ("slo_ttft_s", "f8"),
        ("slo_itl_s", "f8"),
    ],
    align=True,
)


class World(NamedTuple):
    """Everything there is, for N servers, R requests and T sets of Nginx counters.

    Attributes:
        clock: one CLOCK record: the time, chance and the settings.
        requests: R records in order of arrival.
        engines: N records.
        ends: when the step of each engine ends, infinite when none is under way.
        batches: the running batch of each engine, in the order of admission.
        leaving: requests that end with the step under way, by engine.
        peers: T times 2 N records: the servers of an upstream, then the same ones as backups.
        reloads: reloads of each Nginx replica so far.
        old_streams: requests in flight, by replica and by the number of reloads before them.
        bounces: requests that wait for a 500 from a black hole, a ring.
        bounce_at: when it comes.
        scrapes: samples of each engine, in the order taken.
        scraped: how many there are.
        scrape_phase: when each engine is scraped first.
    """

    clock: Records
    requests: Records
    engines: Records
    ends: np.ndarray[Any, np.dtype[np.float64]]
    batches: np.ndarray[Any, np.dtype[np.int32]]
    leaving: np.ndarray[Any, np.dtype[np.int32]]
    peers: Records
    reloads: np.ndarray[Any, np.dtype[np.int64]]
    old_streams: np.ndarray[Any, np.dtype[np.int64]]
    bounces: np.ndarray[Any, np.dtype[np.int32]]
    bounce_at: np.ndarray[Any, np.dtype[np.float64]]
    scrapes: np.ndarray[Any, np.dtype[np.float64]]
    scraped: np.ndarray[Any, np.dtype[np.int64]]
    scrape_phase: np.ndarray[Any, np.dtype[np.float64]]
