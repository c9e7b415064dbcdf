"""What Prometheus answers to the queries of a dashboard over the two hours."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana.queries import Query, queries, substitute
from lab.incidents.asking import Series, over
from lab.incidents.loading import Replay

DASHBOARDS = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
# Everything there is, as a person sees it who opens the dashboard.
ALL = dict.fromkeys(("job", "model", "instance", "pool"), ".*")
# Grafana's rate interval for a scrape interval of 15 s.
_RATE_INTERVAL = "1m"
STEP_S = 30
"""Seconds between two points of a range query."""
# An instant query is asked at this interval instead of once: a table that is right at one time may
# be empty or wrong at another.
_MOMENTS_S = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """A query and what came back: for an instant query, what came back at each moment."""

    query: Query
    series: Sequence[Series]

    @property
    def place(self) -> str:
        """Where the query stands, for a person."""
        asked = self.query
        return f"{asked.dashboard_uid} {asked.kind} {asked.panel_title!r} {asked.ref_id}".rstrip()


def boards() -> Mapping[str, Mapping[str, Any]]:
    """All dashboards by uid."""
    found = (json.loads(file.read_text()) for file in sorted(DASHBOARDS.glob("*.json")))
    return {board["uid"]: board for board in found}


def answers(
    replay: Replay, board: Mapping[str, Any], variables: Mapping[str, str] | None = None
) -> Iterator[Answer]:
    """The answers to all queries of a dashboard.

    Args:
        replay: The Prometheus that is asked.
        board: The dashboard.
        variables: What is chosen at its top; everything unless given.
    """
    chosen = {**ALL, **(variables or {})}
    for query in queries(board):
        step_s = _MOMENTS_S if query.instant else STEP_S
        expr = substitute(query.expr, chosen, _RATE_INTERVAL, f"{step_s}s", "2h")
        series = over(replay.server.url, expr, replay.start_s, replay.end_s, step_s)
        yield Answer(query, series)
