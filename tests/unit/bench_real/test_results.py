"""The results as values and as a page."""

from dataclasses import astuple
from typing import Any

from bench.real.figures import Request
from bench.real.page import page
from bench.real.plan import Router, Run, Scenario, runs
from bench.real.results import ratios, results, split_s
from scripts.check_docs import SECOND_SENTENCE

STEADY, THROTTLED = Scenario(60), Scenario(60, throttled=True)
# Seconds to the first token.
PACE = {
    Router.ROUND_ROBIN: 0.4,
    Router.LEAST_CONN: 0.2,
    Router.LADDER: 0.3,
    Router.CAPACITY: 0.1,
    Router.CAPACITY_WARM: 0.05,
    Router.VLLM_ROUTER: 0.25,
    Router.SGLANG_ROUTER: 0.16,
}


def record(run: Run) -> dict[str, Any]:
    """A run of a request per second for a minute, in which all fared alike."""
    controlled = run.router.policy is not None
    ttft_s = PACE[run.router] * (1 + run.repeat)
    requests = [Request(float(at), ttft_s, 1.0, 10, (20.0,)) for at in range(60)]
    return {
        "key": run.key,
        "rate": 1.0,
        "cpu_busy": 0.5,
        "answered_by": [30, 10, 15, 5],
        "controller": {"reloads": 2, "weights": [100, 50, 100, 25]} if controlled else None,
        "memory": None,
        "requests": [astuple(request) for request in requests],
    }


PLAN = runs([STEADY, THROTTLED], tuple(Router), 2)
FOUND = results(PLAN, {run.key: record(run) for run in PLAN})
HEAD = {
    "command": "make bench-real",
    "commit": "abc",
    "machine": "2 cores",
    "versions": {"vllm": "1"},
    "settings": {"length": "60 s", "scrape_s": 2, "capacity": None},
    "capacity": 11.9,
    "capacity_modelled": 12.28,
    "repeats": 2,
    "notes": ["Left out: nothing."],
}


def test_repeats_are_told_apart_and_together() -> None:
    """Each repeat has its own figures, and all requests together have theirs."""
    found = FOUND["60"]["routers"][Router.LEAST_CONN]
    assert [each["all"]["ttft_ms"]["p50"] for each in found["repeats"]] == [200.0, 400.0]
    assert found["pooled"]["all"]["requests"] == 120
    assert found["pooled"]["all"]["ttft_ms"]["mean"] == 300.0
    assert found["answered_share"] == [0.5, 0.167, 0.25, 0.083]


def test_a_run_is_split_after_learning_or_where_a_server_was_slowed() -> None:
    """The first part is the first 20 s of a steady run, the first half of a throttled one."""
    each = record(Run(STEADY, Router.LADDER, 0))
    assert (split_s(STEADY, each), split_s(THROTTLED, each)) == (20.0, 30.0)
    parts = {name: FOUND[name]["routers"][Router.LADDER]["pooled"] for name in FOUND}
    assert [parts["60"][part]["requests"] for part in ("first", "rest")] == [40, 80]
    assert [parts["60-throttled"][part]["requests"] for part in ("first", "rest")] == [60, 60]


def test_controllers_are_compared_with_the_best_of_the_rivals() -> None:
    """Round robin is no rival, and neither is another controller."""
    found = FOUND["60"]["ratios"]
    assert set(found) == {Router.LADDER, Router.CAPACITY, Router.CAPACITY_WARM}
    assert found[Router.LADDER]["TTFT mean"] == 1.875  # 0.3 over 0.16
    assert found[Router.CAPACITY]["TTFT mean"] == 0.625
    assert found[Router.CAPACITY]["tokens/s"] == 1.0


def test_without_rivals_nothing_is_claimed() -> None:
    """A bench of controllers alone has no ratios."""
    only = {Router.LADDER: FOUND["60"]["routers"][Router.LADDER]}
    assert set(ratios(only)[Router.LADDER].values()) == {None}


def test_the_page_has_a_row_per_router_and_table() -> None:
    """Cold, warm and throttled runs have tables of their own, and no table has ragged rows."""
    text = page(HEAD, FOUND)
    tables = [
        [line for line in part.splitlines() if line.startswith("|")]
        for part in text.split("\n\n")
        if part.startswith("|")
    ]
    assert [len(table) - 2 for table in tables] == [6, 6, 5, 5, 7, 7, 6]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    assert "| Nginx, least_conn | 300 / 300 / 400 | 200, 400 |" in text


def test_the_page_can_be_read_line_by_line() -> None:
    """The sentences of the page stand on lines of their own."""
    lines = page(HEAD, FOUND).splitlines()
    assert "Left out: nothing." in lines
    assert [line for line in lines if SECOND_SENTENCE.search(line)] == []


def test_failed_runs_have_dashes() -> None:
    """Where nothing was answered the page shows no number."""
    failed = {**record(Run(STEADY, Router.LEAST_CONN, 0)), "requests": [[0.0, 0, 0, 0, [], "no"]]}
    plan = runs([STEADY], [Router.LEAST_CONN], 1)
    text = page(HEAD, results(plan, {plan[0].key: failed}))
    assert "| Nginx, least_conn | - / - / - | - |" in text
    assert "| 1 of 1 |" in text
