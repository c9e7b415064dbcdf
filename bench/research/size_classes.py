"""Long prompts in an upstream of their own, which Nginx can tell by `$content_length`.

Weights are as good as can be: every server's true rate for each class of requests, measured with an
endless queue. With u the share of its time that a server of the set A spends on the long prompts,
and rho the share that each server is busy in all,

    u   = long / sum over A of L_i
    rho = (short + u * sum over A of S_i) / sum of S_i

weigh the long ones by L_i in A, and the short ones by (rho - u) S_i in A and by rho S_i elsewhere,
where `long` and `short` are requests per second, L_i and S_i what a server carries of only those.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.research.question import Question, cells, varied
from bench.suite import CONTENDERS, REFERENCE, Cell, Contender
from bench.suite.pools import POOLS, context_len, saturation
from bench.suite.traces import trace
from simulator.fleet.pool import Workload
from simulator.fleet.routers import LongPrompts
from simulator.fleet.saturation import pool_rates

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# Shares of the requests that count as short.
_SHORT: Final = (0.5, 0.8, 0.95)
_WEIGHT_MAX: Final = 100


@functools.cache
def rates_by_class(pool: str, trace_name: str, from_tokens: int) -> tuple[tuple[float, ...], ...]:
    """What each server carries of only short and of only long prompts, in requests per second."""
    recorded = trace(trace_name, context_len(pool))
    is_long = recorded.prompt_tokens >= from_tokens
    return tuple(
        pool_rates(
            POOLS[pool],
            Workload(
                recorded.arrival_s[kept], recorded.prompt_tokens[kept], recorded.output_tokens[kept]
            ),
        )
        for kept in (~is_long, is_long)
    )


def whole(values: Sequence[float]) -> tuple[int, ...]:
    """Weights of a file in proportion to values: whole numbers up to 100, 0 only for 0."""
    top = max(values)
    return tuple(max(value > 0, round(_WEIGHT_MAX * max(0.0, value) / top)) for value in values)


def split_weights(
    short: Sequence[float], long: Sequence[float], long_share: float, takers: Collection[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The weights for short and for long prompts, when only some servers take the long ones.

    Args:
        short: what each server carries of only short prompts.
        long: the same of long ones.
        long_share: share of the requests that are long.
        takers: the servers that take long ones.
    """
    of_takers = [rate if server in takers else 0.0 for server, rate in enumerate(long)]
    used = long_share / sum(of_takers)
    busy = (1 - long_share + used * sum(short[server] for server in takers)) / sum(short)
    left = [
        rate * max(0.0, busy - used if server in takers else busy)
        for server, rate in enumerate(short)
    ]
    return whole(left), whole(of_takers)


def _contenders(cell: Cell, _seed: int) -> list[Contender]:
    pool, name = cell.scenario.pool, cell.scenario.trace
    rates = saturation(pool, name)
    prompts = trace(name, context_len(pool)).prompt_tokens
    fastest = [server for server, rate in enumerate(rates) if rate == max(rates)]
    not_slowest = [server for server, rate in enumerate(rates) if rate > min(rates)]
    found = [
        CONTENDERS[REFERENCE],
        CONTENDERS["capacity_spill"],
        _fixed("one class", whole(rates)),
    ]
    for share in _SHORT:
        from_tokens = int(np.quantile(prompts, share))
        short, long = rates_by_class(pool, name, from_tokens)
        long_share = float(np.mean(prompts >= from_tokens))
        for takers, who in (
            (range(len(rates)), "to all"),
            (not_slowest, "not to the slowest"),
            (fastest, "to the fastest"),
        ):
            for_short, for_long = split_weights(short, long, long_share, takers)
            split = LongPrompts(from_tokens=from_tokens, weights=for_long)
            found.append(_fixed(f"longest {1 - share:.0%} {who}", for_short, split))
    return [*found, CONTENDERS["jsq"], CONTENDERS["oracle"]]


def _fixed(name: str, weights: tuple[int, ...], split: LongPrompts | None = None) -> Contender:
    return varied(name, CONTENDERS[REFERENCE], weights=weights, long_prompts=split)


_LOADS: Final = (0.5, 0.65, 0.8)
QUESTION: Final = Question(
    name="size_classes",
    asked="Do long prompts wait less, and make others wait less, in an upstream of their own?",
    groups={
        f"{pool}-{trace_name}": cells([f"{pool}-{trace_name}"], _LOADS)
        for pool in ("b", "g")
        for trace_name in ("conv", "mooncake")
    },
    contenders=_contenders,
    reference="one class",
    figures=("goodput", "ttft_p99_s", "e2e_p99_s"),
)
