"""The configuration file: what can stand in it, with its units, bounds and defaults."""

import inspect
import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from controller.adapters.nginx import Endpoint as NginxEndpoint
from controller.adapters.prometheus import InstanceMapping
from controller.app.values import (
    Address,
    Duration,
    FilePath,
    Fraction,
    Integer,
    Number,
    PoolName,
    Selector,
    SignalName,
    Switch,
)
from controller.core.policy import Policy
from controller.core.render import WhenFull, zone_kib
from controller.policy.capacity import Capacity
from controller.policy.registry import REGISTRY


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def http_url(value: object) -> str:
    """Check an http or https address.

    Raises:
        ValueError: It is not one.
    """
    parts = _split_url(value) if isinstance(value, str) else None
    if parts is None or parts.query or parts.fragment:
        raise ValueError("expected an http or https URL, such as http://prometheus:9090")
    if "@" in parts.netloc:
        raise ValueError("expected no user or password in the URL; see basic_auth")
    return parts.geturl().rstrip("/")


def _split_url(value: str) -> SplitResult | None:
    if re.search(r"[\s\x00-\x1f]", value):
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname and port != 0 else None


def confirm_url(value: object) -> str:
    """Check an http address or `unix:/path/to.sock:/path`.

    Raises:
        ValueError: It is neither.
    """
    try:
        if isinstance(value, str) and "@" not in value:
            NginxEndpoint.parse(value)
            return value
    except ValueError:
        pass
    raise ValueError(
        "expected an http URL or unix:/path/to.sock:/path, such as"
        " http://127.0.0.1:8081/lb/generation"
    )


def header(value: object) -> str:
    """Check the value of an HTTP header.

    Raises:
        ValueError: No header can hold it.
    """
    if isinstance(value, str) and re.fullmatch(r"[\t\x20-\x7e]*", value):
        return value
    raise ValueError("expected a text of plain ASCII characters in one line")


HttpUrl = Annotated[str, BeforeValidator(http_url)]
ConfirmUrl = Annotated[str, BeforeValidator(confirm_url)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
HeaderValue = Annotated[str, BeforeValidator(header)]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class BasicAuth(Section):
    """User and password for Prometheus; the password is never in this file."""

    username: str = Field(min_length=1)
    password_file: FilePath | None = None
    password_env: EnvironmentName | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password_file is None) == (self.password_env is None):
            raise ValueError("expected exactly one of password_file and password_env")
        return self


class PrometheusConfig(Section):
    """The Prometheus that already scrapes the backends."""

    url: HttpUrl
    timeout: Duration = Field(
        default=5.0, gt=0, le=60, description="Most time for one query, in all."
    )
    bearer_token_file: FilePath | None = Field(
        default=None, description="Read anew for every request."
    )
    bearer_token_env: EnvironmentName | None = None
    basic_auth: BasicAuth | None = None
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, description="Such as X-Scope-OrgID for Mimir."
    )
    ca_file: FilePath | None = None
    client_cert_file: FilePath | None = None
    client_key_file: FilePath | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ways = [self.bearer_token_file, self.bearer_token_env, self.basic_auth]
        if sum(way is not None for way in ways) > 1:
            raise ValueError(
                "expected at most one of bearer_token_file, bearer_token_env and basic_auth"
            )
        if self.client_key_file is not None and self.client_cert_file is None:
            raise ValueError("client_key_file: expected client_cert_file beside it")
        return self


class BackendConfig(Section):
    """One backend of a pool."""

    address: Address
    instance: str | None = Field(
        default=None,
        min_length=1,
        description="Its instance label in Prometheus; default: the address.",
    )
    drain: Switch = Field(default=False, description="Send it no new requests.")


class DiscoveryConfig(Section):
    """Backends are whatever Prometheus scrapes with the pool's selector."""

    regex: str = Field(default="(.+)", description="Matches the whole instance label.")
    replacement: str = Field(default="$1", description="The address; $1, $2 are groups of regex.")

    @model_validator(mode="after")
    def _can_map(self) -> Self:
        try:
            InstanceMapping(self.regex, self.replacement)
        except (OverflowError, RecursionError) as error:
            raise ValueError(f"regex: cannot be used: {error}") from None
        return self


def read_policy(value: object) -> Policy:
    """Make the policy that a mapping with its name and its parameters describes.

    Raises:
        ValueError: No such policy, or its parameters have faults; all of them are listed.
    """
    names = ", ".join(sorted(REGISTRY))
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(name, str) or name not in REGISTRY:
        shown = f", got {name!r}" if isinstance(name, str) else ""
        raise ValueError(f"expected a mapping with a name, one of {names}{shown}")
    kind = REGISTRY[name]
    parameters = {key: each for key, each in value.items() if key != "name"}
    known = set(inspect.signature(kind).parameters)
    faults = [
        f"{key}: is not a known parameter of {kind.name}" for key in parameters.keys() - known
    ]
    # In JSON a list is a tuple even where a text is no number and no number is a yes.
    text = json.dumps({key: parameters[key] for key in known & parameters.keys()}, default=str)
    try:
        policy = TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            place = "".join(f"[{p}]" if isinstance(p, int) else p for p in each["loc"])
            text = each["msg"].replace("Input should be", "expected").replace("Value error, ", "")
            text = text.replace("a valid array", "a list")
            faults.append(f"{place}: {text}" if place else text)
    if faults:
        raise ValueError("; ".join(sorted(faults)))
    return policy


class HealthConfig(Section):
    """When a backend is ejected for cause."""

    enabled: Switch = True
    strikes: Integer = Field(
        default=2, ge=1, le=100, description="Consecutive ticks with the same symptom."
    )
    failing_rate: Number = Field(
        default=0.2, ge=0, description="Server errors per second, at least."
    )
    hold: Duration = Field(default=60.0, ge=0, description="First time out; a relapse doubles it.")
    hold_max: Duration = Field(default=600.0, ge=0)
    expiry: Duration = Field(
        default=60.0, ge=0, description="Time out once nothing is known any more."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.hold_max < self.hold:
            raise ValueError("hold_max: expected at least hold")
        return self


class UpstreamConfig(Section):
    """What stands in the upstream beside its servers."""

    max_fails: Integer = Field(default=2, ge=0, le=1000)
    fail_timeout: Duration = Field(default=30.0, ge=1, le=86400)
    keepalive: Integer = Field(default=64, ge=1, le=65536)
    zone_size_kib: Integer | None = Field(
        default=None, ge=32, le=1048576, description="At least; default: by number of servers."
    )

    @model_validator(mode="after")
    def _whole_seconds(self) -> Self:
        if self.fail_timeout != int(self.fail_timeout):
            raise ValueError("fail_timeout: expected whole seconds")
        return self


class Engine(StrEnum):
    """Names of the engine profiles."""

    VLLM = "vllm"
    SGLANG = "sglang"
    CUSTOM = "custom"


class PoolConfig(Section):
    """One upstream and the backends in it."""

    name: PoolName
    engine: Engine = Engine.VLLM
    selector: Selector
    model_name: str | None = Field(
        default=None, min_length=1, description="Narrows engine metrics."
    )
    instance_label: Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")] = "instance"
    rate_window: Duration = Field(
        default=60.0, ge=5, le=3600, description="At least 4 scrape intervals."
    )
    backends: tuple[BackendConfig, ...] | None = Field(default=None, min_length=1)
    discovery: DiscoveryConfig | None = None
    signals: dict[SignalName, str] = Field(
        default_factory=dict, description="PromQL that adds or replaces signals."
    )
    policy: Annotated[Policy, PlainValidator(read_policy)] = Field(default_factory=Capacity)
    when_full: WhenFull = Field(
        default=WhenFull.SPILL, description="What becomes of requests beyond their slots."
    )
    health: HealthConfig = Field(default_factory=HealthConfig)
    upstream: UpstreamConfig = Field(default_factory=UpstreamConfig)
    min_coverage: Fraction = Field(default=0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _backends_one_way(self) -> Self:
        if (self.backends is None) == (self.discovery is None):
            raise ValueError("expected exactly one of backends and discovery")
        backends = self.backends or ()
        for label in ("address", "instance"):
            values = [getattr(backend, label) or backend.address for backend in backends]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"backends: {label} {', '.join(twice)} stands there twice")
        need_kib = zone_kib(len(backends))
        if (self.upstream.zone_size_kib or need_kib) < need_kib:
            raise ValueError(
                f"upstream.zone_size_kib: {self.upstream.zone_size_kib} is too small for"
                f" {len(backends)} servers, expected at least {need_kib}"
            )
        if backends and all(backend.drain for backend in backends):
            raise ValueError("backends: expected at least one that is not drained")
        return self


class ControlConfig(Section):
    """How often the controller looks, and how calm it is."""

    interval: Duration = Field(default=10.0, ge=0.5, le=600)
    max_sample_age: Duration = Field(
        default=45.0, ge=1, le=3600, description="Older samples are stale."
    )
    dead_band: Fraction = Field(default=0.5, ge=0, le=10)
    min_interval: Duration = Field(default=60.0, ge=0, le=3600)
    fast_interval: Duration = Field(default=10.0, ge=0, le=3600)
    panic_threshold: Fraction = Field(default=0.5, ge=0, le=1)
    max_old_generations: Integer = Field(default=4, ge=0, le=1000)
    blind_hold: Duration = Field(default=600.0, ge=0)
    forget_after: Duration = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast_interval > self.min_interval:
            raise ValueError("fast_interval: expected at most min_interval")
        return self


class AnyNginxConfig(Section):
    """What both ways to Nginx have in common."""

    replicas: Integer = Field(
        default=1, ge=1, le=1000, description="Nginx instances that share the backends' slots."
    )
    confirm_timeout: Duration = Field(
        default=5.0, ge=1, le=120, description="From the reload until Nginx says so."
    )


class LocalNginxConfig(AnyNginxConfig):
    """Nginx on the same host: the controller swaps the file and signals the master."""

    mode: Literal["local"]
    directory: FilePath = Path("/var/lib/vllm-nginx-lb/live")
    confirm_url: ConfirmUrl = "http://127.0.0.1:8081/lb/generation"
    config_file: FilePath = Path("/etc/nginx/nginx.conf")
    pid_file: FilePath = Path("/run/nginx.pid")
    binary: str = Field(default="nginx", min_length=1)
    reload_command: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Instead of a signal to the master process."
    )
    test_timeout: Duration = Field(default=10.0, gt=0, le=120)


class SharedVolumeNginxConfig(AnyNginxConfig):
    """Nginx in another container: the watcher there validates, swaps and reloads."""

    mode: Literal["shared_volume"]
    directory: FilePath
    confirm_url: ConfirmUrl
    answer_timeout: Duration = Field(
        default=15.0, gt=0, le=120, description="For the watcher's answer."
    )
    heartbeat_timeout: Duration = Field(default=10.0, gt=0, le=600)


NginxConfig = Annotated[LocalNginxConfig | SharedVolumeNginxConfig, Field(discriminator="mode")]


class TelemetryConfig(Section):
    """What the controller says of itself."""

    listen: Address = Field(default="127.0.0.1:9808", description="Metrics, health and status.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"


class StateConfig(Section):
    """What is kept across restarts."""

    file: FilePath | None = Field(default=None, description="Default: nothing is kept.")


class Config(Section):
    """The whole file."""

    prometheus: PrometheusConfig
    pools: tuple[PoolConfig, ...] = Field(min_length=1)
    control: ControlConfig = Field(default_factory=ControlConfig)
    nginx: NginxConfig
    telemetry: TelemetryConfig = Field(default_factory=TelemetryConfig)
    state: StateConfig = Field(default_factory=StateConfig)

    @model_validator(mode="after")
    def _pools_differ(self) -> Self:
        # Nginx compares the names of upstreams without regard to case.
        names = [pool.name.lower() for pool in self.pools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"pools: name {', '.join(twice)} stands there twice")
        return self
