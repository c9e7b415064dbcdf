"""What may be asked for a pool, and how instances become addresses."""

import pytest

from controller.adapters.prometheus import InstanceMapping, PoolQuery
from controller.core.model import Signal


@pytest.mark.parametrize(
    ("regex", "replacement", "instance", "address"),
    [
        ("(.+)", "$1", "10.0.0.1:8000", "10.0.0.1:8000"),
        ("(.+):9100", "$1:8000", "10.0.0.1:9100", "10.0.0.1:8000"),
        ("(.+):9100", "$1:8000", "10.0.0.1:9101", None),
        ("(.+):9100", "${1}0:8000", "h:9100", "h0:8000"),
        ("(?P<pod>[^.]+).*", "${pod}.svc:8000", "vllm-0.ns", "vllm-0.svc:8000"),
        ("https?://(.+)/.*", "$1", "http://h:8000/metrics", "h:8000"),
        ("(.+)", "$1", "no-port", None),
        ("(.+)", "$1", "h:8000; include /etc/passwd", None),
        ("(.+)", "$$1", "h:1", None),
        ("(a)?b:1", "h$1:2", "b:1", "h:2"),
        ("(.+):1", "$1:2", "\\g<0>:1", None),
    ],
)
def test_instance_becomes_address(
    regex: str, replacement: str, instance: str, address: str | None
) -> None:
    """The regex matches whole labels, and only what is an address for Nginx comes out."""
    assert InstanceMapping(regex, replacement).address(instance) == address


@pytest.mark.parametrize(
    ("regex", "replacement"), [("(", "$1"), ("(.+)", "$2"), ("(.+)", "${host}:80")]
)
def test_mapping_that_can_never_work_is_refused(regex: str, replacement: str) -> None:
    """A broken regex or a group it lacks is refused at the start, not at the first tick."""
    with pytest.raises(ValueError, match=r"regular expression|absent in the regex"):
        InstanceMapping(regex, replacement)


@pytest.mark.parametrize(
    "settings",
    [
        {"profile": "tgi"},
        {"instance_label": "k8s.pod"},
        {"signals": ("a:b",)},
        {"extra": {'x", "': "up"}},
    ],
)
def test_names_that_break_a_query_are_refused(settings: dict[str, object]) -> None:
    """Only known profiles and names that PromQL takes are accepted."""
    with pytest.raises(ValueError, match="expected"):
        PoolQuery(name="p", **settings)  # type: ignore[arg-type]


def test_users_signal_takes_the_place_of_the_profiles() -> None:
    """A signal is provided once: by the user when the user provides it."""
    pool = PoolQuery(
        name="p", signals=(Signal.RUNNING, Signal.WAITING), extra={"waiting": "up", "mine": "up"}
    )
    assert pool.profiled() == ("running",)
    assert pool.own() == ("mine", "waiting")
