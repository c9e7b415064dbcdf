"""What is asked of Prometheus for one pool, and whom its instances are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.adapters.prometheus.profiles import PROFILES
from controller.adapters.prometheus.recipes import Profile
from controller.core.address import split_address

_SIGNAL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_LABEL_NAME = _SIGNAL_NAME
_REFERENCE = re.compile(r"\$(?:\$|(\d+)|\{(\w+)\})")


@dataclass(frozen=True, slots=True)
class InstanceMapping:
    """Turns the instance label of Prometheus into the address that Nginx shall use.

    Both are written as in Prometheus' relabelling.

    Attributes:
        regex: Must match the whole label.
        replacement: The address, with `$1` or `${name}` for groups and `$$` for a dollar.
    """

    regex: str = "(.+)"
    replacement: str = "$1"

    def __post_init__(self) -> None:
        """Refuse what can never map.

        Raises:
            ValueError: The regex does not compile, or the replacement names a group it lacks.
        """
        try:
            compiled = re.compile(self.regex)
        except re.error as error:
            raise ValueError(f"{self.regex!r} is no regular expression: {error}") from error
        for found in _REFERENCE.finditer(self.replacement):
            group = found[1] or found[2]
            known = group is None or (
                int(group) <= compiled.groups if group.isdigit() else group in compiled.groupindex
            )
            if not known:
                raise ValueError(f"{self.replacement!r} names group {group}, absent in the regex")

    def address(self, instance: str) -> str | None:
        """The address of an instance; None when it has none or none that Nginx could take."""
        found = re.fullmatch(self.regex, instance)
        if found is None:
            return None

        def expand(reference: re.Match[str]) -> str:
            group = reference[1] or reference[2]
            if group is None:
                return "$"
            return found[int(group) if group.isdigit() else group] or ""

        address = _REFERENCE.sub(expand, self.replacement)
        try:
            split_address(address)
        except ValueError:
            return None
        return address


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolQuery:
    """What is asked for one pool.

    Attributes:
        name: The pool's.
        profile: A key of PROFILES.
        selector: Label matchers that find the pool's targets, such as `job="vllm"`, for all
            series including `up`.
        model_name: Narrows the engines' series to one served model; "" for all.
        signals: Names of the profile's signals that are needed.
        extra: PromQL by signal name; added to the profile's, or in place of one of them.
            `{selector}` stands for the pool's matchers in braces, `{selector,x="y"}` for these
            and one more, `{window}` for its window.
        static: Address by value of the instance label; None to discover the pool.
        mapping: How an instance becomes an address when the pool is discovered.
        window_s: Seconds over which rates are taken.
        max_age_s: Oldest sample in seconds that is used.
        instance_label: The label whose values tell backends apart.
    """

    name: str
    profile: str = "vllm"
    selector: str = ""
    model_name: str = ""
    signals: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    static: Mapping[str, str] | None = None
    mapping: InstanceMapping = field(default_factory=InstanceMapping)
    window_s: float = 30.0
    max_age_s: float = 30.0
    instance_label: str = "instance"

    def __post_init__(self) -> None:
        """Refuse names that would break the query or its answer.

        Raises:
            ValueError: An unknown profile, or a name that PromQL does not take.
        """
        if self.profile not in PROFILES:
            raise ValueError(f"profile {self.profile!r}: expected one of {', '.join(PROFILES)}")
        if not _LABEL_NAME.match(self.instance_label):
            raise ValueError(f"instance label {self.instance_label!r}: expected a label name")
        for signal in (*self.signals, *self.extra):
            if not _SIGNAL_NAME.match(signal):
                raise ValueError(f"signal {signal!r}: expected letters, digits and underscores")

    def engine(self) -> Profile:
        """The profile itself."""
        return PROFILES[self.profile]

    def profiled(self) -> tuple[str, ...]:
        """Signals that the profile provides here, in a fixed order."""
        recipes = self.engine().recipes
        return tuple(
            sorted(
                {str(name) for name in self.signals if name in recipes and name not in self.extra}
            )
        )

    def own(self) -> tuple[str, ...]:
        """Signals that the user's PromQL provides, in a fixed order."""
        return tuple(sorted(str(name) for name in self.extra))
