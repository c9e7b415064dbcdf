"""Makes the parts that a configuration describes, and puts them together."""

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.nginx import (
    DirectoryLock,
    LocalNginx,
    LocalSettings,
    SharedSettings,
    SharedVolumeNginx,
)
from controller.adapters.nginx import (
    Endpoint as NginxEndpoint,
)
from controller.adapters.prometheus import (
    BasicAuth,
    Endpoint,
    InstanceMapping,
    PoolQuery,
    PrometheusClient,
    PrometheusSource,
)
from controller.adapters.resolver import RESOLVE_S, SystemResolver
from controller.adapters.state_file import StateFile
from controller.app.config import (
    Config,
    HealthConfig,
    LocalNginxConfig,
    PoolConfig,
    PrometheusConfig,
)
from controller.app.last_tick import PoolInfo
from controller.app.loop import Wiring
from controller.core.health import HEALTH_SIGNALS
from controller.core.memory import Memory
from controller.core.ports import Actuator
from controller.core.render import UpstreamOptions
from controller.core.settings import HealthSettings, Limits, PoolSpec


@dataclass(frozen=True, slots=True)
class Parts:
    """A controller that can be run.

    Attributes:
        wiring: What the loop works with.
        source: The Prometheus source, for its counters.
        store: Where the memory is kept; None for nowhere.
        resolver: The name resolver, to be closed.
        client: The Prometheus client, to be closed.
        lock: To be held by whoever writes: one controller per directory.
        pools: What the metrics say of the pools.
        listen: Where the HTTP interface listens.
        interval_s: Seconds between the starts of two ticks.
        tick_limit_s: Seconds that a tick may take at most when everything times out.
    """

    wiring: Wiring
    source: PrometheusSource
    store: StateFile | None
    resolver: SystemResolver
    client: PrometheusClient
    lock: DirectoryLock
    pools: Sequence[PoolInfo]
    listen: str
    interval_s: float
    tick_limit_s: float

    def memory(self) -> tuple[Memory, str]:
        """The memory to start with, and why it is empty ("" when it was restored)."""
        return (Memory(), "") if self.store is None else self.store.load()

    def close(self) -> None:
        """Let go of connections and threads."""
        self.client.close()
        self.resolver.close()


def build(config: Config, *, dry_run: bool = False) -> Parts:
    """Make all parts of a checked configuration."""
    client = PrometheusClient(endpoint_of(config.prometheus))
    source = PrometheusSource(client, [query_of(config, pool) for pool in config.pools])
    resolver = SystemResolver(time.monotonic)
    wiring = Wiring(
        specs=[spec_of(pool, config.nginx.replicas) for pool in config.pools],
        limits=limits_of(config),
        source=source,
        actuator=actuator_of(config),
        resolver=resolver,
        dry_run=dry_run,
    )
    store = StateFile(config.state.file) if config.state.file is not None else None
    return Parts(
        wiring,
        source,
        store,
        resolver,
        client,
        DirectoryLock(_written(config)),
        [PoolInfo(pool.name, pool.engine, pool.policy.name) for pool in config.pools],
        config.telemetry.listen,
        config.control.interval,
        _tick_limit_s(config),
    )


def _written(config: Config) -> Path:
    """The directory that the controller itself writes."""
    shared = not isinstance(config.nginx, LocalNginxConfig)
    return config.nginx.directory / "req" if shared else config.nginx.directory


def _tick_limit_s(config: Config) -> float:
    """Two queries, the names, and an apply that is rolled back: everything is done twice."""
    nginx = config.nginx
    told_s = nginx.test_timeout if isinstance(nginx, LocalNginxConfig) else nginx.answer_timeout
    return 2 * (config.prometheus.timeout + told_s + nginx.confirm_timeout) + RESOLVE_S


def endpoint_of(config: PrometheusConfig) -> Endpoint:
    """How Prometheus is reached; secrets are read anew for every request."""
    token, basic = None, None
    if config.bearer_token_file is not None:
        token = _from_file(config.bearer_token_file)
    elif config.bearer_token_env is not None:
        token = _from_environment(config.bearer_token_env)
    if config.basic_auth is not None:
        user = config.basic_auth
        if user.password_file is not None:
            basic = BasicAuth(username=user.username, password=_from_file(user.password_file))
        elif user.password_env is not None:
            password = _from_environment(user.password_env)
            basic = BasicAuth(username=user.username, password=password)
    return Endpoint(
        url=config.url,
        timeout_s=config.timeout,
        token=token,
        basic=basic,
        headers=config.headers,
        ca_file=config.ca_file,
        client_cert=config.client_cert_file,
        client_key=config.client_key_file,
    )


def _from_file(path: Path) -> Callable[[], str]:
    return lambda: path.read_text(encoding="utf-8").strip()


def _from_environment(name: str) -> Callable[[], str]:
    def read() -> str:
        if name not in os.environ:
            raise FileNotFoundError(errno.ENOENT, "the environment variable is not set", name)
        return os.environ[name].strip()

    return read


def query_of(config: Config, pool: PoolConfig) -> PoolQuery:
    """What is asked of Prometheus for a pool: what its policy and its health checks need."""
    needs = set(pool.policy.needs)
    if pool.health.enabled:
        needs |= HEALTH_SIGNALS
    static = None
    if pool.backends is not None:
        static = {backend.instance or backend.address: backend.address for backend in pool.backends}
    mapping = InstanceMapping()
    if pool.discovery is not None:
        mapping = InstanceMapping(pool.discovery.regex, pool.discovery.replacement)
    return PoolQuery(
        name=pool.name,
        profile=pool.engine,
        selector=pool.selector,
        model_name=pool.model_name or "",
        signals=tuple(sorted(needs)),
        extra=pool.signals,
        static=static,
        mapping=mapping,
        window_s=pool.rate_window,
        max_age_s=config.control.max_sample_age,
        instance_label=pool.instance_label,
    )


def spec_of(pool: PoolConfig, replicas: int = 1) -> PoolSpec:
    """The pool's settings for the core, behind so many Nginx."""
    upstream = pool.upstream
    return PoolSpec(
        name=pool.name,
        policy=pool.policy,
        backends=None if pool.backends is None else [each.address for each in pool.backends],
        drained=frozenset(each.address for each in pool.backends or () if each.drain),
        options=UpstreamOptions(
            max_fails=upstream.max_fails,
            fail_timeout_s=int(upstream.fail_timeout),
            keepalive=upstream.keepalive,
            zone_kib=upstream.zone_size_kib,
            when_full=pool.when_full,
        ),
        health=_health_of(pool.health),
        min_coverage=pool.min_coverage,
        replicas=replicas,
    )


def _health_of(health: HealthConfig) -> HealthSettings:
    return HealthSettings(
        enabled=health.enabled,
        strikes=health.strikes,
        failing_rate=health.failing_rate,
        hold_s=health.hold,
        hold_max_s=health.hold_max,
        expiry_s=health.expiry,
    )


def limits_of(config: Config) -> Limits:
    """How calm the controller is."""
    control = config.control
    return Limits(
        dead_band=control.dead_band,
        min_interval_s=control.min_interval,
        fast_interval_s=control.fast_interval,
        panic_threshold=control.panic_threshold,
        max_old_generations=control.max_old_generations,
        blind_hold_s=control.blind_hold,
        forget_after_s=control.forget_after,
    )


def actuator_of(config: Config) -> Actuator:
    """The way to Nginx."""
    nginx = config.nginx
    endpoint = NginxEndpoint.parse(nginx.confirm_url)
    if isinstance(nginx, LocalNginxConfig):
        return LocalNginx(
            LocalSettings(
                directory=nginx.directory,
                endpoint=endpoint,
                conf=nginx.config_file,
                binary=nginx.binary,
                pid_file=nginx.pid_file,
                reload_command=nginx.reload_command,
                test_timeout_s=nginx.test_timeout,
                confirm_timeout_s=nginx.confirm_timeout,
            )
        )
    return SharedVolumeNginx(
        SharedSettings(
            directory=nginx.directory,
            endpoint=endpoint,
            confirm_timeout_s=nginx.confirm_timeout,
            answer_timeout_s=nginx.answer_timeout,
            silent_after_s=nginx.heartbeat_timeout,
        )
    )
