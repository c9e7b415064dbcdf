"""A controller that starts with what an earlier one learned, against one that knows nothing.

The earlier run is a quarter of an hour of other arrivals, a day before. Two things can outlast it:
the controller's state file (memory), and the upstream file that Nginx serves (file). A controller
that finds the file alone lets its weights stand until the policy knows better.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bench.research.question import Question, cell_of, cells, varied
from bench.suite import CONTENDERS, HEADLINE, REFERENCE, Cell
from bench.suite.happenings import Throttle

if TYPE_CHECKING:
    from bench.suite import Contender
    from controller.core.memory import Memory

# Far from all seeds of the suite.
_EARLIER_SEEDS: Final = 1000
# The fleet's own time of day is 1.6e9.
_A_DAY_LATER_S: Final = 1.6e9 + 86_400
_SLOWED: Final = "-slowed"


@functools.cache
def _learned(scenario: str, load: float, seed: int) -> Memory:
    """What the controller remembers at the end of an earlier run."""
    cell, earlier = cell_of(scenario, load), _EARLIER_SEEDS + seed
    (memory,) = cell.play(CONTENDERS[HEADLINE], cell.workload(earlier), earlier).memories
    return memory


def _contenders(cell: Cell, seed: int) -> list[Contender]:
    scenario = cell.scenario.name.removesuffix(_SLOWED)
    same = _learned(scenario, cell.load, seed)
    of_code = _learned(f"{cell.scenario.pool}-code", cell.load, seed)
    shipped, file = CONTENDERS[HEADLINE], replace(same, pools={})
    return [
        CONTENDERS[REFERENCE],
        shipped,
        _started("file", shipped, file),
        _started("memory", shipped, replace(same, applied=None)),
        _started("both", shipped, same),
        _started("both, of code completion", shipped, of_code),
    ]


def _started(name: str, contender: Contender, memory: Memory) -> Contender:
    return varied(name, contender, memory=memory, epoch_s=_A_DAY_LATER_S)


def _slowed(cell: Cell) -> Cell:
    """The same, but the first server has run at half its speed since the earlier run."""
    slow = Throttle(kind="speed", at_s=0.0, server=0, speed=0.5)
    changes = {"name": f"{cell.scenario.name}{_SLOWED}", "events": (slow,)}
    return Cell(cell.scenario.model_copy(update=changes), cell.load)


_LOADS: Final = (0.5, 0.65, 0.8)
QUESTION: Final = Question(
    name="persisted",
    asked="What is it worth to start with what was learned before?",
    groups={
        "b": cells(["b-conv", "b-mooncake"], _LOADS),
        "g": cells(["g-conv", "g-mooncake"], _LOADS),
        "b, a fast server slowed since": tuple(map(_slowed, cells(["b-conv"], _LOADS))),
    },
    contenders=_contenders,
    reference=HEADLINE,
    figures=("goodput", "ttft_p99_s", "reloads"),
    spans={"first two minutes": (0.0, 120.0), "from the start": (0.0, 900.0)},
)
