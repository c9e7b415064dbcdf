"""The words of the controller as values: signals, snapshots, servers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controller.core.errors import SourceError


class Signal(StrEnum):
    """Names of the measured quantities that engine profiles provide; users may add others."""

    RUNNING = "running"
    """Requests in the execution batch."""
    WAITING = "waiting"
    """Requests queued in the engine."""
    KV_USAGE = "kv_usage"
    """Share of the KV cache in use, 0..1."""
    PREEMPTIONS_TOTAL = "preemptions_total"
    """Preemptions since the engine started."""
    PREEMPTION_RATE = "preemption_rate"
    """Preemptions per second."""
    PROMPT_RATE = "prompt_rate"
    """Prompt tokens per second, those found in a prefix cache included."""
    PREFILL_RATE = "prefill_rate"
    """Prompt tokens computed per second: those found in a prefix cache are not counted."""
    GENERATION_RATE = "generation_rate"
    """Generated tokens per second."""
    ITL_SECONDS_RATE = "itl_seconds_rate"
    """Seconds of inter-token latency added per second (the histogram's sum)."""
    ITL_COUNT_RATE = "itl_count_rate"
    """Inter-token gaps per second (the histogram's count)."""
    ENGINE_STEP_RATE = "engine_step_rate"
    """Engine steps per second."""
    PROGRESS_RATE = "progress_rate"
    """Grows with each step of the engine, per second; 0 with requests inside means frozen."""
    FINISHED_RATE = "finished_rate"
    """Requests finished per second, aborted ones not counted."""
    FAILED_RATE = "failed_rate"
    """Requests answered with an error of the server per second."""
    AWAKE = "awake"
    """1 when every engine of the backend is awake, 0 when one sleeps."""


class SampleFault(StrEnum):
    """Why a sample that Prometheus returned is not used. A signal without a sample is missing."""

    NAN = "nan"
    INFINITE = "infinite"
    STALE = "stale"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Observation:
    """All that Prometheus said about one backend at one time.

    Attributes:
        signals: Usable values: finite and fresh. A signal in neither mapping is missing.
        faults: Signals that were returned but cannot be used.
        age_s: Age in seconds of the oldest sample of the backend; None when there was none.
        up: Whether the last scrape succeeded; None when Prometheus has no `up` for the backend.
        instance: The value of the instance label that stands for the backend; "" when unknown.
    """

    signals: Mapping[str, float] = field(default_factory=dict)
    faults: Mapping[str, SampleFault] = field(default_factory=dict)
    age_s: float | None = None
    up: bool | None = None
    instance: str = ""


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The observations of one pool.

    Attributes:
        observations: By backend address (`host:port` as Nginx will see it).
        unmapped: Values of the instance label that belong to no address of the pool.
        foreign_names: Metric names found in place of the expected ones, such as
            `vllm_num_requests_running` where a scrape lost the colon.
    """

    observations: Mapping[str, Observation] = field(default_factory=dict)
    unmapped: tuple[str, ...] = ()
    foreign_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was observed at one time, or why nothing was.

    Attributes:
        at_s: Unix time of the observation in seconds.
        pools: By pool name; empty when `error` is set.
        warnings: What Prometheus said beside a successful answer: the answer may be partial.
        error: Set when Prometheus could not be asked.
    """

    at_s: float
    pools: Mapping[str, PoolSnapshot] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: SourceError | None = None


@dataclass(frozen=True, slots=True, order=True)
class Server:
    """One server line of an upstream.

    Attributes:
        address: `host:port`, the identity of the backend.
        weight: 1..100.
        down: No new request is sent while true.
        max_conns: Most requests in flight; None for no limit.
    """

    address: str
    weight: int = 100
    down: bool = False
    max_conns: int | None = None


@dataclass(frozen=True, slots=True)
class NginxView:
    """What Nginx says of itself.

    Attributes:
        generation: The generation it serves; None when it cannot be reached or says none.
        lingering_workers: Old workers that still finish streams; None when it cannot be counted.
        live_workers: Workers that accept connections; None when it cannot be counted.
        detail: Why the generation is None, for a person.
    """

    generation: str | None
    lingering_workers: int | None = None
    live_workers: int | None = None
    detail: str = ""
