"""What the rules for scalers share with each other and with the alerts stays the same."""

from typing import Any

import pytest
import yaml

from tests.unit.autoscaling.manifests import ROOT

NUMBER_OF_BACKENDS = {
    "pool:backends_needed:count": "pool:utilisation_target:ratio",
    "pool:backends_needed_spare:count": "pool:utilisation_target:ratio",
    "model:backends_needed:count": "model:utilisation_target:ratio",
}


def expressions(file: str, key: str) -> list[tuple[str, str]]:
    """Name and expression, with equal spaces, of all recordings or alerts of a file."""
    groups: list[dict[str, Any]] = yaml.safe_load((ROOT / "rules" / file).read_text())["groups"]
    return [
        (rule[key], " ".join(str(rule["expr"]).split()))
        for group in groups
        for rule in group["rules"]
        if key in rule
    ]


RECORDED = dict(expressions("autoscaling.yml", "record"))


@pytest.mark.parametrize(("number", "target"), NUMBER_OF_BACKENDS.items())
def test_a_target_has_one_place(number: str, target: str) -> None:
    """What counts backends reads the target, so whoever changes the target changes the number."""
    assert target in RECORDED[number]
    assert [name for name, expr in RECORDED.items() if "0.7" in expr] == [
        "pool:utilisation_target:ratio",
        "model:utilisation_target:ratio",
    ]


def test_an_engine_stands_still_for_scalers_as_it_does_for_alerts() -> None:
    """The recording is, word for word, what both alerts begin with, but for the number."""
    stalled = RECORDED["backend:engine_stalled:bool"]
    assert stalled.startswith("group by")
    alerts = [expr for name, expr in expressions("alerts.yml", "alert") if name == "BackendStalled"]
    assert len(alerts) == 2
    for alert in alerts:
        assert alert.startswith("sum" + stalled.removeprefix("group"))
