"""What the environment may ask of the demo."""

import pytest

from controller.policy.registry import REGISTRY
from lab.demo.settings import SettingsError, read


def test_without_variables_the_demo_takes_two_and_a_half_minutes() -> None:
    """An empty environment, and empty variables, give the defaults."""
    settings = read({})
    assert settings.seconds == 150
    assert settings.policy in REGISTRY
    assert read({"DEMO_SECONDS": "", "DEMO_POLICY": ""}) == settings


@pytest.mark.parametrize(("text", "seconds"), [("60", 60), ("75.5", 75.5), ("3600", 3600)])
def test_the_length_can_be_chosen(text: str, seconds: float) -> None:
    """Whole and broken numbers of seconds within the bounds are taken."""
    assert read({"DEMO_SECONDS": text}).seconds == seconds


@pytest.mark.parametrize("text", ["59.9", "3601", "-60", "nan", "inf", "two minutes", "60s"])
def test_a_length_that_cannot_be_is_refused(text: str) -> None:
    """Anything else is refused, with the value and the bounds in the message."""
    with pytest.raises(SettingsError, match=r"60 to 3600") as refused:
        read({"DEMO_SECONDS": text})
    assert f"DEMO_SECONDS={text}" in str(refused.value)


@pytest.mark.parametrize("policy", sorted(REGISTRY))
def test_every_policy_can_be_shown(policy: str) -> None:
    """DEMO_POLICY takes the name of any policy."""
    assert read({"DEMO_POLICY": policy}).policy == policy


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    """A name that is no policy is refused, and the message lists those that are."""
    with pytest.raises(SettingsError, match="ladder"):
        read({"DEMO_POLICY": "guess"})
