"""Colours, thresholds and words: one meaning looks the same on every panel.

Thresholds are those of the alerts in rules/alerts.yml, so that a panel turns red no sooner and no
later than a notification would say so.
"""

from collections.abc import Mapping

from grafana.sdk import dashboard as sdk

GOOD = "green"
NOTE = "blue"
WARN = "orange"
BAD = "red"
PLAIN = "text"
IDLE = "#8e8e8e"
LEARNED = "purple"

# First tokens within 2.5 s of vLLM (a bound of its histogram) or 2 s of SGLang, for 95 % of them.
SLO_LATENCY_S = 2.5
SLO_LATENCY_SGLANG_S = 2.0
SLO_OBJECTIVE = 0.95
# TtftBurnFast: of the error budget, within an hour and within six; TtftBurnSlow: within a day.
BURN_HOUR, BURN_SIX_HOURS, BURN_DAY = 14.4, 6.0, 3.0
CACHE_TIGHT, CACHE_FULL = 0.85, 0.97  # KvSaturated: the first while requests wait
ERROR_SHARE = 0.05  # BackendErrorRatio, NginxErrorRatio
SHED_SHARE = 0.01  # RequestsShed
IMBALANCE = 0.4  # LoadImbalanced
QUEUE_S = 2.0  # QueueTimeHigh
STALE_S = 80.0  # ControllerStale: 30 s and five intervals of 10 s

# Code, words and colour by the reasons of the controller, so that one row per backend can show them
# over time. The order is that of concern.
STATES: Mapping[int, tuple[str, str, tuple[str, ...]]] = {
    1: ("serving", GOOD, ("policy",)),
    2: ("entering", NOTE, ("entering", "unseen")),
    3: (
        "held: signal unusable",
        "yellow",
        ("held_missing", "held_stale", "held_nan", "held_infinite", "held_malformed"),
    ),
    4: ("held: scrape failed", "dark-yellow", ("held_scrape_failed",)),
    5: ("held: blind", "dark-yellow", ("held_blind",)),
    6: ("neutral: blind for long", WARN, ("neutral",)),
    7: ("panic: ill but serving", "dark-orange", ("panic",)),
    8: ("drained", IDLE, ("drained",)),
    9: ("out: asleep", LEARNED, ("ejected_asleep",)),
    10: ("out: stalled", BAD, ("ejected_stalled",)),
    11: ("out: failing", "dark-red", ("ejected_failing",)),
    12: ("out: name has no address", "semi-dark-red", ("unresolved",)),
}


def thresholds(below: str, *steps: tuple[float, str]) -> sdk.ThresholdsConfig:
    """A colour below the first step, and one from each step on."""
    return sdk.ThresholdsConfig(
        mode=sdk.ThresholdsMode.ABSOLUTE,
        steps=[
            sdk.Threshold(value=None, color=below),
            *(sdk.Threshold(value=value, color=color) for value, color in steps),
        ],
    )


def latency() -> sdk.ThresholdsConfig:
    """Of a first token."""
    return thresholds(GOOD, (SLO_LATENCY_SGLANG_S, WARN), (SLO_LATENCY_S, BAD))


def cache() -> sdk.ThresholdsConfig:
    """Of a KV cache."""
    return thresholds(GOOD, (CACHE_TIGHT, WARN), (CACHE_FULL, BAD))


def line(*steps: tuple[float, str]) -> sdk.ThresholdsConfig:
    """Lines across a graph, which colour nothing else."""
    return thresholds("transparent", *steps)


def words(meaning: Mapping[str, tuple[str, str]]) -> list[sdk.ValueMapping]:
    """Text and colour by value."""
    return [
        sdk.ValueMap(
            options={
                value: sdk.ValueMappingResult(text=text, color=color, index=index)
                for index, (value, (text, color)) in enumerate(meaning.items())
            }
        )
    ]


def state_words() -> list[sdk.ValueMapping]:
    """Words for the codes of `STATES`."""
    return words({str(code): (text, color) for code, (text, color, _) in STATES.items()})


def reason_words() -> list[sdk.ValueMapping]:
    """Colours for the controller's own words, which stay as they are: people search for them."""
    return words(
        {reason: (reason, color) for _, color, reasons in STATES.values() for reason in reasons}
    )


def yes_no(yes: str, no: str, *, good: bool) -> list[sdk.ValueMapping]:
    """Words for 1 and 0, of which one is good and one is bad."""
    return words({"1": (yes, GOOD if good else BAD), "0": (no, BAD if good else GOOD)})
