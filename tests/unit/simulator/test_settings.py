"""What may be changed in a running server."""

from __future__ import annotations

import pytest

from simulator.settings import Fault, Settings, SettingsError, changed_settings

PRESENT = Settings(speed=1.0, num_gpu_blocks=512)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, PRESENT),
        ({"speed": 2}, Settings(2.0, 512)),
        ({"speed": 0.25, "num_gpu_blocks": 64}, Settings(0.25, 64)),
        ({"fault": "freeze_engine"}, Settings(1.0, 512, Fault.FREEZE_ENGINE)),
    ],
)
def test_body_changes_what_it_names(body: object, expected: Settings) -> None:
    """What a body does not name stays as it is."""
    assert changed_settings(PRESENT, body) == expected


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ([], ["body"]),
        (None, ["body"]),
        ({"sped": 1}, ["sped"]),
        ({"speed": 0}, ["speed"]),
        ({"speed": True}, ["speed"]),
        ({"speed": "fast"}, ["speed"]),
        ({"speed": float("nan")}, ["speed"]),
        ({"speed": 1e9}, ["speed"]),
        ({"speed": 10**400}, ["speed"]),
        ({"speed": None}, ["speed"]),
        ({"num_gpu_blocks": 10**400}, ["num_gpu_blocks"]),
        ({"num_gpu_blocks": 1}, ["num_gpu_blocks"]),
        ({"num_gpu_blocks": 2.5}, ["num_gpu_blocks"]),
        ({"fault": "slow"}, ["fault"]),
        ({"fault": []}, ["fault"]),
        ({"fault": 1, "speed": -1, "num_gpu_blocks": True, "x": 0}, ["x", "speed", "num", "fault"]),
    ],
)
def test_all_faults_of_a_body_are_named(body: object, faults: list[str]) -> None:
    """A body with any fault changes nothing, and every fault is named at once."""
    with pytest.raises(SettingsError) as caught:
        changed_settings(PRESENT, body)
    assert len(caught.value.faults) == len(faults)
    for found, expected in zip(caught.value.faults, faults, strict=True):
        assert found.startswith(expected)


def test_settings_go_round() -> None:
    """What GET shows can be posted back, and changes nothing."""
    ill = Settings(0.5, 64, Fault.SLEEP)
    assert changed_settings(PRESENT, ill.as_json()) == ill
