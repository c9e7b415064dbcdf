"""What weights that change without a reload could be worth at most.

Nginx then forgets nothing, and a controller need not hold back. Balancing code of Nginx's own that
reads weights from shared memory would be such a way; here it costs nothing and never fails.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from bench.research.low_load import EqualMarginal
from bench.research.question import Question, cells
from bench.suite import CONTENDERS, REFERENCE, Contender, Control, controlled
from controller.core.settings import Limits
from controller.policy.capacity import Capacity

if TYPE_CHECKING:
    from bench.suite import Cell
    from bench.suite.contenders import Course
    from simulator.fleet.routers import Controlled

_OFTEN: Final = Limits(dead_band=0.1, min_interval_s=0.0, fast_interval_s=0.0)
_FREE: Final = Control(limits=_OFTEN)
_FREE_5S: Final = Control(limits=_OFTEN, interval_s=5.0, scrape_s=2.5, window_s=15.0)
_OVERLOAD: Final = 0.8


def lasting(contender: Contender) -> Contender:
    """A controller whose changes are no reloads."""

    def router(course: Course) -> Controlled:
        found = cast("Controlled", contender.router(course))
        return replace(found, nginx=replace(found.nginx, forgets=False))

    return Contender(contender.name, router)


def _contenders(cell: Cell, _seed: int) -> list[Contender]:
    # Above what the pool carries the question is whom to turn away.
    full = "shed" if cell.load > _OVERLOAD else "spill"
    found = [
        CONTENDERS[REFERENCE],
        controlled("shipped", Capacity(), when_full=full),
        lasting(controlled("no reload", Capacity(), when_full=full)),
        lasting(controlled("no reload, free", Capacity(), when_full=full, control=_FREE)),
        lasting(controlled("no reload, free, 5 s", Capacity(), when_full=full, control=_FREE_5S)),
        lasting(
            controlled("no reload, equal marginal", EqualMarginal(), when_full=full, control=_FREE)
        ),
    ]
    return found if full == "shed" else [*found, CONTENDERS["jsq"]]


QUESTION: Final = Question(
    name="no_reload",
    asked="Would weights that change without a reload be worth an adapter of their own?",
    groups={
        "b, steady": cells(["b-conv", "b-mooncake"], (0.5, 0.65, 0.8)),
        "g, steady": cells(["g-conv", "g-mooncake"], (0.65, 0.8)),
        "throttle": cells(["throttle-b"], (0.65,)),
        "burst": cells(["burst-conv"], (0.5,)),
        "overload, shed": cells(["b-conv", "b-mooncake"], (0.95, 1.1)),
    },
    contenders=_contenders,
    reference="shipped",
    figures=("goodput", "shed", "ttft_p99_s", "e2e_p99_s", "reloads"),
)
