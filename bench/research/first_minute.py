"""Learning faster at the start: shorter ticks and windows, more scrapes, weights after one tick.

The shipped controller ticks every 10 s, asks for rates over 30 s from scrapes every 5 s, gives no
weights before the second tick with traffic, and corrects them a minute later at the earliest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from bench.research.question import AFTER_WARMUP, Question, cells
from bench.suite import CONTENDERS, HEADLINE, REFERENCE, Control, controlled
from controller.core.settings import Limits
from controller.policy.capacity import Capacity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bench.suite import Cell, Contender


@dataclass(frozen=True)
class FirstGlance(Capacity):
    """The policy `capacity`, which believes what one tick shows as the shipped one does two."""

    name: ClassVar[str] = "first_glance"

    def _carried(self, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - types of capacity's own
        seen = [each for each in known.values() if each.ticks]
        if max((each.ticks for each in seen), default=0) != 1:
            return super()._carried(known)
        older = {
            address: replace(each, ticks=2.0 if each.ticks else 0.0)
            for address, each in known.items()
        }
        return super()._carried(older)


_OFTEN: Final = Control(interval_s=5.0)
_SHORT: Final = Control(interval_s=5.0, scrape_s=5.0, window_s=15.0)
_SHORT_AND_FINE: Final = Control(interval_s=5.0, scrape_s=2.5, window_s=15.0)
_CORRECTED: Final = Control(limits=Limits(min_interval_s=20.0))


def _contenders(_cell: Cell, _seed: int) -> list[Contender]:
    return [
        CONTENDERS[REFERENCE],
        CONTENDERS[HEADLINE],
        controlled("first tick", FirstGlance(), when_full="spill"),
        controlled("corrected after 20 s", Capacity(), when_full="spill", control=_CORRECTED),
        controlled("tick 5 s", Capacity(), when_full="spill", control=_OFTEN),
        controlled("tick 5 s, window 15 s", Capacity(), when_full="spill", control=_SHORT),
        controlled("both, scrape 2.5 s", Capacity(), when_full="spill", control=_SHORT_AND_FINE),
        controlled(
            "all three, first tick", FirstGlance(), when_full="spill", control=_SHORT_AND_FINE
        ),
    ]


_LOADS: Final = (0.5, 0.65, 0.8)
QUESTION: Final = Question(
    name="first_minute",
    asked="Can a controller that knows nothing learn faster, and what does that cost later?",
    groups={
        "b": cells(["b-conv", "b-mooncake"], _LOADS),
        "g": cells(["g-conv", "g-mooncake"], _LOADS),
    },
    contenders=_contenders,
    reference=HEADLINE,
    figures=("goodput", "ttft_p99_s", "reloads"),
    spans={"first two minutes": (0.0, 120.0), "after the warm-up": AFTER_WARMUP},
)
