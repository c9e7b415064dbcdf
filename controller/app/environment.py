"""Where the configuration comes from: a file, or environment variables where there is none.

The variables stand for keys of the file and are checked by the same models. They are for containers
with one kind of engine: what has no variable here, such as parameters of a policy, takes a file.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.app.config import Config, ControlConfig, Engine
from controller.app.load import innermost, load, sentence
from controller.app.values import duration_s, duration_text
from controller.core.errors import ConfigError
from controller.policy.capacity import Capacity
from controller.policy.registry import REGISTRY

DEFAULT_FILE = Path("/etc/vllm-nginx-lb/config.yaml")
SWITCH = "LB_PROMETHEUS_URL"
"""Without it no variable is read."""
TENANT = "X-Scope-OrgID"
"""The header that tells a Prometheus of many tenants which one is meant."""

_DIGITS = re.compile(r"[0-9]{1,18}\Z")
_BETWEEN_BACKENDS = re.compile(r"[\s,]+")
_SELECTORS = {Engine.VLLM: 'job="vllm"', Engine.SGLANG: 'job="sglang"'}
# Variables of the scripts beside Nginx that look like one of ours with a slip of the pen.
_OF_NGINX = frozenset({"LB_NGINX", "LB_POLL_S", "LB_POOLS", "LB_UPSTREAM_FILE"})
# How a bound is told, and where pydantic has it. The only numbers with bounds that are not whole
# are durations here.
_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
_NAME = re.compile(r"LB_[A-Z0-9_]+\Z", re.IGNORECASE)
# LB_PROMETHEUS and LB_TELEMETRY are alike enough; LB_PORT and LB_POOL are not.
_ALIKE = 0.75
_NOT_READ = "{} is not read: was {} meant?"
# PROMETHEUS_URL and LB_URL have two words of the switch; one alone is a word like any other.
_WORDS = 2


def _whole_number(text: str) -> int | str:
    # What is no number is left to the check of the key, which says what it expected.
    return int(text) if _DIGITS.match(text) else text


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that stands for a key of the file.

    Attributes:
        name: Its name.
        key: The key; one of `pools` holds for each pool.
        default: Its value where it is not set or empty; "" for that of the key.
        note: What the key's own description does not say.
        read: Makes the key's value of the text.
    """

    name: str
    key: tuple[str, ...]
    default: str = ""
    note: str = ""
    read: Callable[[str], object] = str


VARIABLES = (
    Variable(SWITCH, ("prometheus", "url"), note="Without it no variable is read."),
    Variable("LB_PROMETHEUS_TOKEN_FILE", ("prometheus", "bearer_token_file")),
    Variable(
        "LB_TENANT",
        ("prometheus", "headers", TENANT),
        note=f"The tenant of Mimir or Cortex: the value of the header `{TENANT}`.",
    ),
    Variable(
        "LB_ENGINE",
        ("pools", "engine"),
        note="Not `custom`, whose signals take a configuration file.",
    ),
    Variable(
        "LB_SELECTOR",
        ("pools", "selector"),
        default=_SELECTORS[Engine.VLLM],
        note=f"With `LB_ENGINE=sglang` the default is `{_SELECTORS[Engine.SGLANG]}`.",
    ),
    Variable("LB_POOL", ("pools", "name"), default="llm"),
    Variable(
        "LB_BACKENDS",
        ("pools", "backends"),
        note="Written `host:port`, or `pool=host:port` for a pool other than `LB_POOL`, separated"
        " by spaces or commas. Where it is empty, `discovery` finds them.",
    ),
    Variable("LB_MODEL_NAME", ("pools", "model_name")),
    Variable(
        "LB_POLICY",
        ("pools", "policy", "name"),
        default=Capacity.name,
        note="The policy, with its default parameters.",
    ),
    Variable("LB_WHEN_FULL", ("pools", "when_full")),
    Variable("LB_RATE_WINDOW", ("pools", "rate_window")),
    Variable("LB_INTERVAL", ("control", "interval")),
    Variable(
        "LB_MIN_INTERVAL",
        ("control", "min_interval"),
        note="A value below `control.fast_interval` stands for that one, too.",
    ),
    Variable("LB_REPLICAS", ("nginx", "replicas"), read=_whole_number),
    Variable(
        "LB_SHARED_DIR",
        ("nginx", "directory"),
        default="/var/lib/vllm-nginx-lb",
        note="`nginx.mode` is `shared_volume`.",
    ),
    Variable("LB_CONFIRM_URL", ("nginx", "confirm_url"), "http://127.0.0.1:8081/lb/generation"),
    Variable("LB_STATE_FILE", ("state", "file")),
    Variable("LB_TELEMETRY_LISTEN", ("telemetry", "listen")),
    Variable(
        "LB_LOG_LEVEL",
        ("telemetry", "log_level"),
        note="Nginx has a variable of this name and other levels: set each in its own container.",
    ),
    Variable("LB_LOG_FORMAT", ("telemetry", "log_format")),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A configuration that was found.

    Attributes:
        config: The configuration.
        source: Where it was found, for a person.
        hints: What looks like a mistake but is none that can be known, one sentence each.
    """

    config: Config
    source: str
    hints: tuple[str, ...] = ()


def find(
    file: Path | None, variables: Mapping[str, str], default_file: Path = DEFAULT_FILE
) -> Found:
    """Read the file that was named, else the default file, else the environment variables.

    Args:
        file: Named by the person who started the program; None for nothing.
        variables: The environment.
        default_file: Read where it exists and no other was named.

    Raises:
        ConfigError: There is none, or it has faults; all of them are listed.
    """
    path = file or default_file
    if file is None and _is_absent(default_file):
        if variables.get(SWITCH, "").strip():
            return parse(variables)
        fault = (
            f"{default_file}: no such file; write it, name another with --config, or set {SWITCH}"
            " and configure by environment variables alone"
        )
        raise ConfigError([fault, *_near_misses(variables), *_near_switches(variables)])
    set_too = SWITCH in variables and f"{SWITCH} and its like are not read, since {path} is"
    return Found(load(path), str(path), (set_too,) if set_too else ())


def parse(variables: Mapping[str, str]) -> Found:
    """Check the configuration that environment variables describe.

    Raises:
        ConfigError: It has faults; all are listed, each with the name of its variable.
    """
    given = _given(variables)
    hints = tuple(_near_misses(variables))
    told = dict(_unfit(given))
    faults = [f"{name}: {problem}" for name, problem in told.items()]
    try:
        config = Config.model_validate(raw(variables))
    except ValidationError as error:
        found = ((_variable_of(each), _problem(each)) for each in innermost(error))
        faults += [f"{name}: {problem}" for name, problem in found if name not in told]
    else:
        if not faults:
            return Found(config, f"the environment ({', '.join(given)})", hints)
    # What holds for each pool is one fault, however many pools there are.
    raise ConfigError([*dict.fromkeys(faults), *hints])


def raw(variables: Mapping[str, str]) -> dict[str, Any]:
    """The mapping that a file with the same meaning would hold, not checked yet."""
    given = _given(variables)
    tree: dict[str, Any] = {"nginx": {"mode": "shared_volume"}, "pools": {}}
    for variable in VARIABLES:
        text = given.get(variable.name, variable.default)
        if text and variable.name != "LB_BACKENDS":
            section = tree
            for part in variable.key[:-1]:
                section = section.setdefault(part, {})
            section[variable.key[-1]] = variable.read(text)
    if "LB_SELECTOR" not in given and given.get("LB_ENGINE") == Engine.SGLANG:
        tree["pools"]["selector"] = _SELECTORS[Engine.SGLANG]
    if _is_below_fast_interval(given.get("LB_MIN_INTERVAL", "")):
        tree["control"]["fast_interval"] = given["LB_MIN_INTERVAL"]
    backends = _backends(given)
    tree["pools"] = [
        {**tree["pools"], "name": name, "backends": [{"address": each} for each in addresses]}
        for name, addresses in backends.items()
    ] or [{**tree["pools"], "discovery": {}}]
    return tree


def _is_absent(file: Path) -> bool:
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # Something is there that may not be looked at, which reading it will say.
        return False
    return False


def _given(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of ours that are set; an empty one is not, as in `LB_TENANT=${TENANT:-}`."""
    texts = {each.name: variables.get(each.name, "").strip() for each in VARIABLES}
    return {name: text for name, text in texts.items() if text}


def _backends(given: Mapping[str, str]) -> dict[str, list[str]]:
    """Addresses by pool, that of LB_POOL first; empty where none is named."""
    items = [each for each in _BETWEEN_BACKENDS.split(given.get("LB_BACKENDS", "")) if each]
    first = _first_pool(given)
    pools: dict[str, list[str]] = {first: []} if items else {}
    for item in items:
        pool, equals, address = item.partition("=")
        pools.setdefault(pool if equals else first, []).append(address if equals else item)
    return pools


def _first_pool(given: Mapping[str, str]) -> str:
    return given.get("LB_POOL") or next(v.default for v in VARIABLES if v.name == "LB_POOL")


def _is_below_fast_interval(text: str) -> bool:
    try:
        return 0 <= duration_s(text) < ControlConfig().fast_interval
    except ValueError:
        return False


def _unfit(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the models cannot know: the variable, and what is wrong with it."""
    for name, text in given.items():
        if any("\ud800" <= each <= "\udfff" for each in text):
            yield name, "expected UTF-8 text"
    if given.get("LB_ENGINE") == Engine.CUSTOM:
        yield "LB_ENGINE", "custom has signals of its own, which take a configuration file"
    if "LB_POLICY" in given and given["LB_POLICY"] not in REGISTRY:
        names = ", ".join(sorted(REGISTRY))
        yield "LB_POLICY", f"expected one of {names}, got {given['LB_POLICY']!r}"
    backends, first = _backends(given), _first_pool(given)
    if backends and not backends[first]:
        yield (
            "LB_BACKENDS",
            f"expected a backend of the pool {first!r} (LB_POOL), such as 10.0.0.1:8000",
        )


def _variable_of(error: ErrorDetails) -> str:
    """The variable that a fault of the mapping came from."""
    path = tuple(part for part in error["loc"] if isinstance(part, str) and part != "shared_volume")
    if path == ("pools", "name") and error["loc"][1] != 0:
        # The first pool is that of LB_POOL.
        return "LB_BACKENDS"
    for variable in VARIABLES:
        depth = min(len(variable.key), len(path))
        if depth > 1 and path[:depth] == variable.key[:depth]:
            return variable.name
    # Pools or backends that are there twice: whatever is a list was made of this one.
    return "LB_BACKENDS"


def _problem(error: ErrorDetails) -> str:
    if error["type"] in _BOUNDS and isinstance(error["input"], float):
        words, key = _BOUNDS[error["type"]]
        bound, found = duration_text(error["ctx"][key]), duration_text(error["input"])
        return f"expected {words} {bound}, got {found}"
    # The names of lists that a file has and a variable has not.
    return sentence(error).removeprefix("backends: ").removeprefix("pools: ")


def _near_misses(variables: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that looks like one of ours and is none."""
    ours = [each.name for each in VARIABLES]
    for name in sorted(variables):
        if name in ours or name in _OF_NGINX or not _NAME.match(name):
            continue
        shout = name.upper()
        longer = [each for each in ours if shout.startswith(f"{each}_")]
        alike = difflib.get_close_matches(shout, ours, n=1, cutoff=_ALIKE)
        # LB_POOL_NAME is more like LB_MODEL_NAME than like LB_POOL, but means that.
        for meant in longer or alike:
            yield _NOT_READ.format(name, meant)


def _near_switches(variables: Mapping[str, str]) -> Iterator[str]:
    """The like, where nothing else is set: what has no `LB_` may be for others, but may be ours."""
    words = set(SWITCH.split("_"))
    told = {hint.partition(" ")[0] for hint in _near_misses(variables)}
    for name in sorted(set(variables) - told - {SWITCH}):
        parts = name.upper().split("_")
        if len(parts) >= _WORDS and words.issuperset(parts):
            yield _NOT_READ.format(name, SWITCH)
