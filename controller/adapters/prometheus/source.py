"""The source of snapshots: two queries, whatever the number of pools and backends."""

import contextlib
import gc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from controller.adapters.prometheus.answers import PoolAnswer, sort_answers
from controller.adapters.prometheus.client import PrometheusClient
from controller.adapters.prometheus.pools import PoolQuery
from controller.adapters.prometheus.queries import freshness_query, value_query
from controller.core.errors import SourceError
from controller.core.model import Observation, PoolSnapshot, SampleFault, Snapshot


class PrometheusSource:
    """Observes all pools with two HTTP requests; one when no pool asks for a signal.

    Attributes:
        last_query_seconds: How long each query of the last observation took, in the order asked.
    """

    def __init__(self, client: PrometheusClient, pools: Sequence[PoolQuery]) -> None:
        self._client = client
        self._pools = tuple(pools)
        self._value_query = value_query(self._pools)
        self._freshness_query = freshness_query(self._pools)
        # Mapping an instance costs more than all else about it, and instances rarely change.
        self._mapped: dict[tuple[int, str], str | None] = {}
        self.last_query_seconds: tuple[float, ...] = ()

    @property
    def requests_made(self) -> int:
        """HTTP requests sent so far, by all observations."""
        return self._client.requests_made

    def observe(self, now_s: float) -> Snapshot:
        """Return one snapshot of all pools; what went wrong as a whole is in its `error`."""
        # An answer is a tree of a million small objects that is thrown away whole: the cycle
        # collector would walk it over and over, for half the cost of a tick, to find nothing.
        with _collector_paused():
            return self._observe(now_s)

    def _observe(self, now_s: float) -> Snapshot:
        self.last_query_seconds = ()
        results: list[list[dict[str, Any]]] = []
        warnings: dict[str, None] = {}
        try:
            for query in (self._value_query, self._freshness_query):
                if not query:
                    results.append([])
                    continue
                answer = self._client.query(query)
                self.last_query_seconds += (answer.seconds,)
                warnings.update(dict.fromkeys(answer.warnings))
                results.append(answer.series)
            answers = sort_answers(self._pools, results[0], results[1])
        except SourceError as error:
            return Snapshot(at_s=now_s, error=error)
        return Snapshot(
            at_s=now_s,
            pools={
                pool.name: self._pool_snapshot(index, pool, answer)
                for index, (pool, answer) in enumerate(zip(self._pools, answers, strict=True))
            },
            warnings=tuple(warnings),
        )

    def _pool_snapshot(self, index: int, pool: PoolQuery, answer: PoolAnswer) -> PoolSnapshot:
        addresses, unmapped = self._addresses(index, pool, answer)
        own = frozenset(pool.own())
        observations = {
            address: _observation(answer, instance, own) for address, instance in addresses.items()
        }
        if pool.static is not None:
            for address in pool.static.values():
                observations.setdefault(address, Observation())
        return PoolSnapshot(observations, unmapped, answer.foreign)

    def _addresses(
        self, index: int, pool: PoolQuery, answer: PoolAnswer
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """The instance of each address, and the instances that have none.

        Of several instances with one address the first in order of text stands for it and the
        others count as unmapped: an order that all controllers of a pool agree on.
        """
        candidates: Iterable[str] = sorted(answer.up)
        if pool.static is not None:
            # Without `up` (pushed series) the signals alone make a configured backend known.
            silent = sorted(set(pool.static) - answer.up.keys())
            candidates = (*candidates, *silent)
        instances: dict[str, str] = {}
        unmapped: list[str] = []
        for instance in candidates:
            address = self._address(index, pool, instance)
            if address is not None and address not in instances:
                instances[address] = instance
            elif instance in answer.up:
                unmapped.append(instance)
        return instances, tuple(unmapped)

    def _address(self, index: int, pool: PoolQuery, instance: str) -> str | None:
        if pool.static is not None:
            return pool.static.get(instance)
        key = (index, instance)
        if key not in self._mapped:
            if len(self._mapped) > _MOST_REMEMBERED:
                self._mapped.clear()
            self._mapped[key] = pool.mapping.address(instance)
        return self._mapped[key]


# Instances come and go with every rollout; their mappings are cheap enough to make anew.
_MOST_REMEMBERED = 100_000


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _observation(answer: PoolAnswer, instance: str, own: frozenset[str]) -> Observation:
    signals = answer.values.get(instance, {})
    faults = answer.faults.get(instance, {})
    if faults:
        stale = {name for name, fault in faults.items() if fault is SampleFault.STALE}
        # The user's PromQL has no age of its own; it shares that of the backend, and counts as
        # stale when everything is whose age is known.
        if stale and not (signals.keys() - stale - own):
            faults = faults | dict.fromkeys(own & signals.keys(), SampleFault.STALE)
        signals = {name: value for name, value in signals.items() if name not in faults}
    ages, up = answer.ages, answer.up
    return Observation(signals, faults, ages.get(instance), up.get(instance), instance)
