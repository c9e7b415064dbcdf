"""The configuration file: what can stand in it, with its units, bounds and defaults."""

import inspect
import json
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
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
    PromQl,
    Selector,
    SignalName,
    Switch,
    Words,
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
    if parts is None:
        raise ValueError("expected an http or https URL, such as http://prometheus:9090")
    if parts.query or parts.fragment:
        raise ValueError(
            "expected an http or https URL, such as http://prometheus:9090, without a query"
        )
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


HttpUrl = Annotated[str, BeforeValidator(http_url), Words("http or https URL")]
ConfirmUrl = Annotated[
    str, BeforeValidator(confirm_url), Words("http URL or `unix:/path/to.sock:/path`")
]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$"), Words("header name")]
HeaderValue = Annotated[str, BeforeValidator(header), Words("header value")]
EnvironmentName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), Words("name of an environment variable")
]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$"), Words("label name")]


def _twice(values: Iterable[str], key: Callable[[str], str]) -> str:
    """What to say of values with the same key; "" where there are none."""
    groups: dict[str, list[str]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    told = [sorted(set(group)) for group in groups.values() if len(group) > 1]
    names = ", ".join(sorted(spelt[-1] for spelt in told))
    apart = ", ".join(" and ".join(spelt) for spelt in told if len(spelt) > 1)
    why = f", as {apart}: case does not count" if apart else ""
    return f"{names} stands there twice{why}" if told else ""


class BasicAuth(Section):
    """User and password for Prometheus; the password is never in this file."""

    username: str = Field(min_length=1, description="Name of the user.", examples=["controller"])
    password_file: FilePath | None = Field(
        default=None,
        description="Holds the password, and is read anew for every request; either this or"
        " `password_env`.",
        examples=["/run/secrets/prometheus-password"],
    )
    password_env: EnvironmentName | None = Field(
        default=None,
        description="The environment variable that holds the password.",
        examples=["PROMETHEUS_PASSWORD"],
    )

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password_file is None) == (self.password_env is None):
            raise ValueError("expected exactly one of password_file and password_env")
        return self


class PrometheusConfig(Section):
    """The Prometheus that already scrapes the backends."""

    url: HttpUrl = Field(
        description="Where its API begins: what stands before `/api/v1`; without a user or a"
        " password.",
        examples=["http://prometheus:9090"],
    )
    timeout: Duration = Field(
        default=5.0, gt=0, le=60, description="Most time for one query, in all."
    )
    bearer_token_file: FilePath | None = Field(
        default=None,
        description="Holds a bearer token, and is read anew for every request; one at most of this,"
        " `bearer_token_env` and `basic_auth`.",
        examples=["/run/secrets/prometheus-token"],
    )
    bearer_token_env: EnvironmentName | None = Field(
        default=None,
        description="The environment variable that holds the bearer token.",
        examples=["PROMETHEUS_TOKEN"],
    )
    basic_auth: BasicAuth | None = Field(default=None, description="User and password.")
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        description="Further headers of every request, such as `X-Scope-OrgID` for a tenant of"
        " Mimir; a value stands in the file itself, so a token belongs into `bearer_token_file`.",
        examples=[{"X-Scope-OrgID": "inference"}],
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="Certificates, in PEM, that vouch for the server; default: those of the"
        " system.",
        examples=["/etc/ssl/certs/internal-ca.pem"],
    )
    client_cert_file: FilePath | None = Field(
        default=None,
        description="The controller's own certificate, in PEM.",
        examples=["/etc/vllm-nginx-lb/client.pem"],
    )
    client_key_file: FilePath | None = Field(
        default=None,
        description="Its key, where the certificate's file does not hold it.",
        examples=["/etc/vllm-nginx-lb/client.key"],
    )

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

    address: Address = Field(
        description="As Nginx reaches it; a name is looked up, and its addresses are written.",
        examples=["10.0.0.11:8000"],
    )
    instance: str | None = Field(
        default=None,
        min_length=1,
        description="What its instance label in Prometheus says; default: the address.",
        examples=["node11:8000"],
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


def policy_values(policy: Policy) -> dict[str, object]:
    """The mapping that `read_policy` makes the policy of, with all parameters."""
    names = inspect.signature(type(policy)).parameters
    return {"name": policy.name} | {each: getattr(policy, each) for each in names}


class HealthConfig(Section):
    """When a backend is ejected for cause."""

    enabled: Switch = Field(default=True, description="Whether backends are ejected at all.")
    strikes: Integer = Field(
        default=2,
        ge=1,
        le=100,
        description="Consecutive ticks with the same symptom before an ejection.",
    )
    failing_rate: Number = Field(
        default=0.2,
        ge=0,
        description="Server errors per second below which a backend is never called failing.",
    )
    hold: Duration = Field(
        default=60.0, ge=0, description="Time out after an ejection; a relapse doubles it."
    )
    hold_max: Duration = Field(
        default=600.0, ge=0, description="Longest time out after relapses; at least `hold`."
    )
    expiry: Duration = Field(
        default=60.0,
        ge=0,
        description="Time out of a backend of which nothing is known any more.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.hold_max < self.hold:
            raise ValueError("hold_max: expected at least hold")
        return self


class UpstreamConfig(Section):
    """What stands in the upstream beside its servers."""

    max_fails: Integer = Field(
        default=2,
        ge=0,
        le=1000,
        description="Failures within `fail_timeout` after which Nginx skips a server; 0: never.",
    )
    fail_timeout: Duration = Field(
        default=30.0,
        ge=1,
        le=86400,
        description="That window, and how long the server is skipped; in whole seconds.",
    )
    keepalive: Integer = Field(
        default=64,
        ge=1,
        le=65536,
        description="Idle connections to the servers that each worker of Nginx keeps.",
    )
    zone_size_kib: Integer | None = Field(
        default=None,
        ge=32,
        le=1048576,
        description="Least size of the upstream's shared memory in KiB; default: by the number of"
        " servers.",
        examples=[512],
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

    name: PoolName = Field(description="The name in `proxy_pass http://NAME`.", examples=["llm"])
    engine: Engine = Field(
        default=Engine.VLLM,
        description="Whose metrics are asked for; `custom` has none but those in `signals`.",
    )
    selector: Selector = Field(
        description="Finds the pool's targets among all those of Prometheus.",
        examples=['job="vllm"'],
    )
    model_name: str | None = Field(
        default=None,
        min_length=1,
        description="Narrows the engines' series to one served model.",
        examples=["qwen2.5-7b-instruct"],
    )
    instance_label: LabelName = Field(
        default="instance", description="The label whose values tell the backends apart."
    )
    rate_window: Duration = Field(
        default=60.0,
        ge=5,
        le=3600,
        description="The time over which rates are taken; at least four scrape intervals.",
    )
    backends: tuple[BackendConfig, ...] | None = Field(
        default=None,
        min_length=1,
        description="The backends, one by one; either this or `discovery`.",
    )
    discovery: DiscoveryConfig | None = Field(
        default=None,
        description="Makes backends of whatever Prometheus scrapes with the selector.",
    )
    signals: dict[SignalName, PromQl] = Field(
        default_factory=dict,
        description="Adds a signal or replaces one; `{selector}` and `{window}` are filled in.",
        examples=[{"kv_usage": "max by (instance) (vllm:kv_cache_usage_perc{selector})"}],
    )
    policy: Annotated[
        Policy,
        PlainValidator(read_policy),
        PlainSerializer(policy_values, return_type=dict[str, object]),
    ] = Field(default_factory=Capacity, description="What the weights are made of.")
    when_full: WhenFull = Field(
        default=WhenFull.SPILL,
        description="What becomes of a request that finds the slots of all servers taken: it goes"
        " to one of them all the same, is turned away, or slots are not counted.",
    )
    health: HealthConfig = Field(
        default_factory=HealthConfig, description="When backends are ejected for cause."
    )
    upstream: UpstreamConfig = Field(
        default_factory=UpstreamConfig, description="What else the upstream says."
    )
    min_coverage: Fraction = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of backends with usable signals below which the pool counts as unseen,"
        " and its weights are held.",
    )

    @model_validator(mode="after")
    def _backends_one_way(self) -> Self:
        if (self.backends is None) == (self.discovery is None):
            raise ValueError("expected exactly one of backends and discovery")
        backends = self.backends or ()
        for label in ("address", "instance"):
            values = [getattr(backend, label) or backend.address for backend in backends]
            # To a name server case does not count; to Prometheus it does.
            twice = _twice(values, str.lower if label == "address" else str)
            if twice:
                raise ValueError(f"backends: {label} {twice}")
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

    interval: Duration = Field(
        default=10.0, ge=0.5, le=600, description="Time between the starts of two ticks."
    )
    max_sample_age: Duration = Field(
        default=45.0, ge=1, le=3600, description="A sample that is older is stale, and not used."
    )
    dead_band: Fraction = Field(
        default=0.5,
        ge=0,
        le=10,
        description="Smallest relative change of a weight that is worth a reload.",
    )
    min_interval: Duration = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="Least time between reloads that only change weights.",
    )
    fast_interval: Duration = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Least time between any two reloads, ejections and returns included; at most"
        " `min_interval`.",
    )
    panic_threshold: Fraction = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Least share of a pool that serves: where ejections would leave less, all"
        " serve.",
    )
    max_old_generations: Integer = Field(
        default=4,
        ge=0,
        le=1000,
        description="Reloads that only change weights wait while workers of old generations exceed"
        " so many times the live ones; all reloads wait at twice as many.",
    )
    blind_hold: Duration = Field(
        default=600.0,
        ge=0,
        description="How long the last weights are held when nothing can be seen, before neutral"
        " ones.",
    )
    forget_after: Duration = Field(
        default=30.0,
        ge=0,
        description="How long a discovered backend may be missing before it leaves the pool.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast_interval > self.min_interval:
            raise ValueError("fast_interval: expected at most min_interval")
        return self


_MODE = "How a change gets into Nginx: on the same host, or through a volume that both share."
_CONFIRM_URL = "Where Nginx itself says which generation it serves."


class AnyNginxConfig(Section):
    """What both ways to Nginx have in common."""

    replicas: Integer = Field(
        default=1, ge=1, le=1000, description="Nginx instances that share the backends' slots."
    )
    confirm_timeout: Duration = Field(
        default=5.0,
        ge=1,
        le=120,
        description="Most time from the reload until Nginx itself answers with the new generation.",
    )


class LocalNginxConfig(AnyNginxConfig):
    """Nginx on the same host: the controller swaps the file and signals the master."""

    mode: Literal["local"] = Field(description=_MODE, examples=["local"])
    directory: FilePath = Field(
        default=Path("/var/lib/vllm-nginx-lb/live"),
        description="Holds `upstream.conf`, which `nginx.conf` includes; a directory of its own.",
    )
    confirm_url: ConfirmUrl = Field(
        default="http://127.0.0.1:8081/lb/generation", description=_CONFIRM_URL
    )
    config_file: FilePath = Field(
        default=Path("/etc/nginx/nginx.conf"),
        description="What Nginx was started with.",
    )
    pid_file: FilePath = Field(
        default=Path("/run/nginx.pid"), description="What the `pid` directive of Nginx names."
    )
    binary: str = Field(
        default="nginx", min_length=1, description="The program that tests the configuration."
    )
    reload_command: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Run instead of a signal to the master process; one text per argument.",
        examples=[["systemctl", "reload", "nginx"]],
    )
    test_timeout: Duration = Field(
        default=10.0, gt=0, le=120, description="Most time for `nginx -t`, and for the command."
    )


class SharedVolumeNginxConfig(AnyNginxConfig):
    """Nginx in another container: the watcher there validates, swaps and reloads."""

    mode: Literal["shared_volume"] = Field(description=_MODE, examples=["shared_volume"])
    directory: FilePath = Field(
        description="Where the volume is mounted: holds `req`, `ack` and `live`.",
        examples=["/var/lib/vllm-nginx-lb"],
    )
    confirm_url: ConfirmUrl = Field(
        description=_CONFIRM_URL, examples=["http://nginx:8081/lb/generation"]
    )
    answer_timeout: Duration = Field(
        default=15.0,
        gt=0,
        le=120,
        description="Most time for the watcher's answer; its `nginx -t` is part of it.",
    )
    heartbeat_timeout: Duration = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Age at which the watcher's heartbeat, one per second, counts as missing.",
    )


NginxConfig = Annotated[LocalNginxConfig | SharedVolumeNginxConfig, Field(discriminator="mode")]


class TelemetryConfig(Section):
    """What the controller says of itself."""

    listen: Address = Field(
        default="127.0.0.1:9808", description="Where metrics, health and status are served."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least grave event that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto`: for people on a terminal, else JSON."
    )


class StateConfig(Section):
    """What is kept across restarts."""

    file: FilePath | None = Field(
        default=None,
        description="Where what was learned is kept, so that a restart loses none of it; default:"
        " nowhere.",
        examples=["/var/lib/vllm-nginx-lb/state/state.json"],
    )


class Config(Section):
    """The whole file."""

    prometheus: PrometheusConfig = Field(description="Where the metrics of the backends are.")
    pools: tuple[PoolConfig, ...] = Field(
        min_length=1, description="One per upstream; no two of a name."
    )
    control: ControlConfig = Field(
        default_factory=ControlConfig, description="How often the controller looks and acts."
    )
    nginx: NginxConfig = Field(description="Where Nginx is, and how it is told.")
    telemetry: TelemetryConfig = Field(
        default_factory=TelemetryConfig, description="Metrics, status and logs."
    )
    state: StateConfig = Field(
        default_factory=StateConfig, description="What is kept across restarts."
    )

    @model_validator(mode="after")
    def _pools_differ(self) -> Self:
        # Nginx compares the names of upstreams without regard to case.
        twice = _twice([pool.name for pool in self.pools], str.lower)
        if twice:
            raise ValueError(f"pools: name {twice}")
        return self
