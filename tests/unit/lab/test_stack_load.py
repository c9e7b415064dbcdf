"""The endless load of the containers takes its options from the environment."""

import re
from pathlib import Path

import pytest
import yaml

from lab.stack.load import INCIDENTS, ROUND_S, OptionError, Options, options

ROOT = Path(__file__).resolve().parents[3]
SERVERS = "vllm-1:8000 vllm-2:8000 vllm-3:8000"


def test_options_have_defaults() -> None:
    """Without variables it sends six requests per second, and makes servers ill."""
    found = options(["http://nginx:8080"], {"LOAD_SERVERS": SERVERS})
    assert found == Options("http://nginx:8080", tuple(SERVERS.split()), 6.0, incidents=True)


def test_all_faults_are_told_at_once() -> None:
    """Each with what was expected."""
    with pytest.raises(OptionError) as told:
        options(["nginx"], {"LOAD_RATE": "many", "LOAD_INCIDENTS": "yes"})
    for name in ("URL of the entry point", "LOAD_RATE=many", "LOAD_INCIDENTS=yes"):
        assert name in str(told.value)


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "1001"])
def test_a_rate_that_cannot_be_sent_is_refused(rate: str) -> None:
    """It is more than 0 and at most 1000 per second."""
    with pytest.raises(OptionError, match="LOAD_RATE"):
        options(["http://nginx"], {"LOAD_RATE": rate, "LOAD_INCIDENTS": "off"})


def test_incidents_take_their_servers() -> None:
    """Without enough servers they are refused; without incidents none is needed."""
    with pytest.raises(OptionError, match="LOAD_SERVERS"):
        options(["http://nginx"], {"LOAD_SERVERS": "vllm-1:8000"})
    assert options(["http://nginx"], {"LOAD_INCIDENTS": "off"}).servers == ()


def test_the_freeze_is_long_enough_for_the_alert() -> None:
    """The shipped rule of a stalled backend fires, and is told, before the server works again."""
    rules = yaml.safe_load((ROOT / "rules/alerts.yml").read_text())
    stalled = [
        rule
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "BackendStalled"
    ]
    ranges = [max(map(int, re.findall(r"\[(\d+)m", rule["expr"]))) for rule in stalled]
    holds = [int(rule["for"].removesuffix("m")) for rule in stalled]
    needed_s = 60 * max(map(sum, zip(ranges, holds, strict=True)))
    (freeze,) = (each for each in INCIDENTS if "fault" in each.ill.settings)
    # Evaluations, and the wait of the group of alerts.
    assert freeze.until_s - freeze.from_s >= needed_s + 60


def test_every_incident_ends_within_its_round() -> None:
    """They come in order, and the last one for a server leaves it well."""
    times_s = [at_s for each in INCIDENTS for at_s in (each.from_s, each.until_s)]
    assert times_s == sorted(times_s)
    assert times_s[-1] < ROUND_S
    assert [dict(each.well.settings) for each in INCIDENTS] == [{"speed": 1.0}, {"fault": "none"}]
