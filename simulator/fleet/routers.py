"""The routers that can be compared, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.core.memory import Memory
from controller.core.settings import Limits
from simulator.fleet import layout

if TYPE_CHECKING:
    from controller.core.settings import PoolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxSetup:
    """How Nginx is deployed and configured, beside the upstream itself.

    Attributes:
        replicas: instances in front of the pool; each request goes to one of them at random.
        workers: worker processes of each.
        zone: whether its workers share their counters; without it each has its own.
        max_fails: failures after which a server is passed over; a controlled pool brings its own.
        fail_timeout_s: for how long; the same.
        tries: proxy_next_upstream_tries, 0 for no limit.
        retry_500: whether proxy_next_upstream names http_500 and non_idempotent.
        spill: whether servers with max_conns stand in the upstream again as backups. Without
            it, requests beyond them are shed. A controlled pool brings its own `when_full`.
        forgets: whether a change of the upstream is a reload, which makes Nginx forget what is in
            flight and who failed; without it, it is one of variables that balancing code reads.
    """

    replicas: int = 1
    workers: int = 2
    zone: bool = True
    max_fails: int = 2
    fail_timeout_s: int = 30
    tries: int = 0
    retry_500: bool = False
    spill: bool = True
    forgets: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPrompts:
    """Requests with long prompts in an upstream of their own, with the same servers.

    As with a map of `$content_length`; it has counters of its own.

    Attributes:
        from_tokens: the shortest prompt that goes there.
        weights: one per server, 0 for a server that is down there.
    """

    from_tokens: int
    weights: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastConn:
    """Nginx's least_conn with lines that stay as they are.

    Attributes:
        weights: one per server, 0 for a server that is down; None for equal ones.
        max_conns: one per server, None for no limit.
        reserve: servers, by number, that stand among the backups alone; they get what is beyond the
            limits of the others.
        long_prompts: where those go; None for the same upstream. Wants a `zone`.
        reload_every_s: a forced reload, 0 for none; it changes nothing but what Nginx remembers.
        nginx: how Nginx is set up.
    """

    weights: tuple[int, ...] | None = None
    max_conns: tuple[int | None, ...] | None = None
    reserve: tuple[int, ...] = ()
    long_prompts: LongPrompts | None = None
    reload_every_s: float = 0.0
    nginx: NginxSetup = field(default_factory=NginxSetup)
    mode: int = field(default=layout.LEAST_CONN, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRobin:
    """Nginx's smooth weighted round robin; the attributes mean what they mean in LeastConn."""

    weights: tuple[int, ...] | None = None
    max_conns: tuple[int | None, ...] | None = None
    reload_every_s: float = 0.0
    nginx: NginxSetup = field(default_factory=NginxSetup)
    mode: int = field(default=layout.ROUND_ROBIN, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """least_conn under the controller: its own tick, fed by the simulated Prometheus.

    Attributes:
        spec: the pool as configured; `backends` None discovers what Prometheus scrapes.
        limits: how calm the controller is.
        interval_s: time between ticks.
        first_tick_s: the first one; None for one interval after the start. With several replicas
            each has its own controller, and they tick one after the other.
        scrape_s: Prometheus' scrape interval.
        window_s: the range of the rates.
        effect_s: from the push of a file to the first request that its workers take.
        confirm_s: from the push to its confirmation.
        memory: what the controller remembers at the start; what it had applied is what Nginx
            serves at the start.
        epoch_s: Unix time at virtual time 0; later than all times in the memory.
        nginx: how Nginx is set up.
    """

    spec: PoolSpec
    limits: Limits = field(default_factory=Limits)
    interval_s: float = 10.0
    first_tick_s: float | None = None
    scrape_s: float = 5.0
    window_s: float = 30.0
    effect_s: float = 0.05
    confirm_s: float = 0.4
    memory: Memory = field(default_factory=Memory)
    epoch_s: float = 1.6e9
    nginx: NginxSetup = field(default_factory=NginxSetup)
    mode: int = field(default=layout.LEAST_CONN, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOfTwo:
    """The less loaded of two servers drawn at random, by gauges of at most `fresh_s` ago."""

    fresh_s: float = 0.05
    tries: int = 0
    retry_500: bool = False
    mode: int = field(default=layout.POWER_OF_TWO, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueKvScorer:
    """The highest 2 * queue + 2 * (1 - KV use), by gauges of at most `fresh_s` ago.

    The queue is scaled from 1 for the shortest to 0 for the longest in the pool, as the inference
    extension of the Kubernetes Gateway API does; ties are drawn.
    """

    fresh_s: float = 0.05
    tries: int = 0
    retry_500: bool = False
    mode: int = field(default=layout.QUEUE_KV, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinShortestQueue:
    """The least (requests in flight + 1) / capacity, exactly counted and never forgotten.

    Attributes:
        capacities: one per server, in any unit; None measures each one's saturation throughput
            on the workload's own mix of requests.
        tries: servers a request is sent to at most, 0 for all.
        retry_500: whether a 500 is tried elsewhere.
    """

    capacities: tuple[float, ...] | None = None
    tries: int = 0
    retry_500: bool = False
    mode: int = field(default=layout.SHORTEST_QUEUE, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """The server where a request would be done first, all lengths and states known.

    The formula is that of `choosing.expected_completion_s`.
    """

    tries: int = 0
    retry_500: bool = False
    mode: int = field(default=layout.ORACLE, init=False)


NginxRouter = LeastConn | RoundRobin | Controlled
Router = NginxRouter | PowerOfTwo | QueueKvScorer | JoinShortestQueue | Oracle
