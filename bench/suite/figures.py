"""The figures of one run that policies are compared by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.fleet.results import RunResult

Figures = dict[str, float | None]
"""By name; None where a run has no such figure."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a figure is.

    Attributes:
        meaning: in words.
        unit: s for seconds, share for 0..1, or a count.
        floor: what a smaller value is taken for where values are divided, so that a ratio of two
            near-zero values says "equal" and not "infinite".
    """

    meaning: str
    unit: str
    floor: float


# Below a millisecond the model itself says nothing.
_SECONDS: Final = 1e-3
_SHARE: Final = 1e-3

FIGURES: Final[Mapping[str, Kind]] = {
    "goodput": Kind("requests done within both objectives", "share", _SHARE),
    "ttft_mean_s": Kind("time to first token, mean", "s", _SECONDS),
    "ttft_p50_s": Kind("time to first token, median", "s", _SECONDS),
    "ttft_p99_s": Kind("time to first token, 99th percentile", "s", _SECONDS),
    "e2e_p99_s": Kind("arrival to last token, 99th percentile", "s", _SECONDS),
    "failed": Kind("requests cut, timed out, answered with an error or refused", "share", _SHARE),
    "shed": Kind("requests turned away because all servers were full", "share", _SHARE),
    "shed_with_room": Kind("requests shed though a server had room just then", "share", _SHARE),
    "unfinished": Kind("requests still in flight two minutes after the last one", "share", _SHARE),
    "preemptions": Kind("preemptions per 1,000 requests", "count", 1.0),
    "reloads": Kind("reloads after the warm-up, per 15 minutes", "count", 1.0),
    "slo_back_s": Kind("time until the goodput is back after the event", "s", 1.0),
    "slo_never": Kind("runs in which it was not back before the end", "share", _SHARE),
}

_QUARTER_S: Final = 900.0


def figures_of(result: RunResult, recovery_from_s: float | None = None) -> Figures:
    """Take the figures of a run; times of a run without any first token are None.

    A request that waits at the end of the run counts with what has passed until then. A goodput
    that is not back at the end counts with the time until then, and as never.
    """
    summary = result.summary()
    count = max(1, summary.requests)
    counted_s = result.duration_s - result.warmup_s
    found: Figures = {
        "goodput": summary.goodput,
        "ttft_mean_s": summary.ttft_mean_s,
        "ttft_p50_s": summary.ttft_p50_s,
        "ttft_p99_s": summary.ttft_p99_s,
        "e2e_p99_s": summary.e2e_p99_s,
        "failed": (summary.failed + summary.refused) / count,
        "shed": summary.shed / count,
        "shed_with_room": summary.false_sheds / count,
        "unfinished": summary.unfinished / count,
        "preemptions": 1000 * summary.preemptions / count,
        "reloads": summary.reloads * _QUARTER_S / counted_s,
        "slo_back_s": None,
        "slo_never": None,
    }
    if recovery_from_s is not None:
        back_s = result.slo_back_s(recovery_from_s)
        if not math.isnan(back_s):
            found["slo_back_s"] = min(back_s, result.duration_s - recovery_from_s)
            found["slo_never"] = float(math.isinf(back_s))
    return {
        name: None if value is None or math.isnan(value) else float(value)
        for name, value in found.items()
    }
