"""How the series of two answers are sorted by pool and instance."""

import json
import time
from typing import Any

import pytest

from controller.adapters.prometheus import PoolQuery
from controller.adapters.prometheus.answers import sort_answers
from controller.adapters.prometheus.failures import excerpt, payload_of
from controller.core.errors import SourceError, SourceFault
from controller.core.model import SampleFault, Signal

POOLS = (
    PoolQuery(name="a", signals=(Signal.RUNNING,)),
    PoolQuery(name="b", signals=(Signal.RUNNING,), instance_label="pod", extra={"x": "y"}),
)


def series(tag: str, value: object = "1", **labels: str) -> dict[str, Any]:
    """A series as the HTTP API gives it."""
    return {"metric": {**labels, "lb_signal": tag}, "value": [0.0, value]}


def test_series_go_to_their_pool_by_its_own_label() -> None:
    """The tag says the pool and the quantity, the pool's label the instance."""
    first, second = sort_answers(
        POOLS,
        [series("0:running", "2", instance="i"), series("1:running", "3", pod="i")],
        [
            series("0:up", "1", instance="i"),
            series("1:up", "0", pod="i"),
            series("1:age", "4.5", pod="i"),
            series("1:stale:running", "99", pod="j"),
            series("0:foreign", "2"),
        ],
    )
    assert first.values == {"i": {"running": 2.0}}
    assert (first.up, first.foreign) == ({"i": True}, ("vllm_num_requests_running",))
    assert second.values == {"i": {"running": 3.0}}
    assert (second.up, second.ages) == ({"i": False}, {"i": 4.5})
    assert second.faults == {"j": {"running": SampleFault.STALE}}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("NaN", SampleFault.NAN),
        ("+Inf", SampleFault.INFINITE),
        ("-Inf", SampleFault.INFINITE),
        ("1e999", SampleFault.INFINITE),
        ("", SampleFault.MALFORMED),
        ("many", SampleFault.MALFORMED),
        (None, SampleFault.MALFORMED),
        ({}, SampleFault.MALFORMED),
    ],
)
def test_value_that_is_no_finite_number(value: object, fault: SampleFault) -> None:
    """What is not a finite number is a fault of this signal of this backend."""
    first, _ = sort_answers(POOLS, [series("0:running", value, instance="i")], [])
    assert (first.values, first.faults) == ({}, {"i": {"running": fault}})


def test_native_histogram_is_malformed() -> None:
    """PromQL of the user that gives a native histogram gives no number."""
    one = {"metric": {"pod": "i", "lb_signal": "1:x"}, "histogram": [0, {}]}
    _, second = sort_answers(POOLS, [one], [])
    assert second.faults == {"i": {"x": SampleFault.MALFORMED}}


def test_series_without_the_label_is_of_no_backend() -> None:
    """A value that belongs to no instance is dropped."""
    first, _ = sort_answers(POOLS, [series("0:running")], [series("0:up")])
    assert (first.values, first.up) == ({}, {})


@pytest.mark.parametrize("other", [{}, [], 1, None, {"metric": {}}, series("7:running")])
def test_series_of_another_shape_spoil_the_answer(other: object) -> None:
    """An answer with a series that nobody asked for is not one of the query."""
    for values, freshness in (([other], []), ([], [other])):
        with pytest.raises(SourceError, match="another shape") as caught:
            sort_answers(POOLS, values, freshness)  # type: ignore[arg-type]
        assert caught.value.fault is SourceFault.NOT_PROMETHEUS


def test_large_fleet_is_sorted_in_little_time() -> None:
    """Ten thousand backends cost about 60 ms here; ten times that would be another algorithm."""
    values = [series("0:running", "12.5", instance=f"i{n}") for n in range(10_000)] * 10
    started_s = time.process_time()
    first, _ = sort_answers(POOLS, values, [])
    assert time.process_time() - started_s < 1
    assert len(first.values) == 10_000


def test_payload_is_the_parsed_answer() -> None:
    """A successful answer of the API is returned as it is."""
    payload = {"status": "success", "data": {"result": []}}
    assert payload_of(json.dumps(payload).encode(), "p") == payload


def test_excerpt_is_one_printable_line() -> None:
    """What a foreign server says enters messages short, on one line, without control bytes."""
    text = excerpt(b"<html>\n\x1b[31m" + b"x" * 1000 + b"\xff")
    assert text.startswith("<html> ?[31mxxx")
    assert len(text) < 250
    assert text.isprintable()
