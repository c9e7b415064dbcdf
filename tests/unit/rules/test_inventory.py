"""The inventory says what servers really publish."""

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from scripts import inventory as made
from scripts.inventory import DIRECTORY, Metric
from tests.unit.app.test_telemetry import lived

PAGE = """
# HELP a_total A counter.
# TYPE a_total counter
a_total{x="1"} 2
a_total{y="1"} 2
# TYPE a_created gauge
a_created{x="1"} 1.7e9
# TYPE old_counter counter
old_counter 3
# TYPE h_seconds histogram
h_seconds_bucket{x="1",le="10.0"} 1
h_seconds_bucket{x="1",le="2.5"} 1
h_seconds_bucket{x="1",le="+Inf"} 1
h_seconds_sum{x="1"} 1
h_seconds_count{x="1"} 1
# TYPE s_seconds summary
s_seconds{quantile="0.5"} 1
s_seconds_sum 1
s_seconds_count 1
"""


def test_the_part_of_vllm_is_what_the_captures_make() -> None:
    """The committed file is the one that `python -m scripts.inventory` writes."""
    assert (DIRECTORY / "vllm.yml").read_text() == made.vllm()


def test_a_page_becomes_names_types_labels_and_bounds() -> None:
    """Labels of all series of a metric are united, bounds are in order, names are as published."""
    assert made.published([PAGE]) == {
        "a_total": {"type": "counter", "labels": ["x", "y"]},
        "old_counter": {"type": "counter", "labels": []},
        "h_seconds": {"type": "histogram", "labels": ["x"], "le": ["2.5", "10.0", "+Inf"]},
        "s_seconds": {"type": "summary", "labels": []},
    }


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """A metric survives the file, and knows the file that it is from."""
    (tmp_path / "some.yml").write_text(made.text(made.published([PAGE]), "a page"))
    found = made.inventory(tmp_path)
    bounds = ("2.5", "10.0", "+Inf")
    assert found["h_seconds"] == Metric("h_seconds", "histogram", frozenset("x"), bounds, "some")
    assert found["h_seconds"].series()["h_seconds_bucket"] == {"x", "le", "job", "instance"}
    assert found["s_seconds"].series()["s_seconds"] == {"quantile", "job", "instance"}
    assert found["s_seconds"].counters == {"s_seconds_sum", "s_seconds_count"}


def test_no_metric_is_in_two_files() -> None:
    """Each metric has one source, so that none hides what another says of it."""
    names = [name for path in DIRECTORY.glob("*.yml") for name in made.inventory_of(path)]
    assert len(names) == len(set(names))


def test_types_are_known(metrics: dict[str, Metric]) -> None:
    """A typing error in a type would exempt a counter from the checks of counters."""
    assert {metric.type for metric in metrics.values()} <= {
        *("counter", "gauge", "histogram", "summary", "unknown")
    }


def test_the_part_of_the_controller_is_what_its_code_publishes(metrics: dict[str, Metric]) -> None:
    """What a controller that has lived publishes is in the inventory, with labels and bounds."""
    coded = made.published([generate_latest(lived().registry).decode()])
    listed = {name: metric for name, metric in metrics.items() if metric.source == "controller"}
    differing = {
        name: entry
        for name, entry in coded.items()
        if name not in listed
        or (entry["type"], frozenset(entry["labels"]), tuple(entry.get("le", ())))
        != (listed[name].type, listed[name].labels, listed[name].le)
    }
    assert differing == {}


# Published only where there is something to say, which that life of a controller has not.
OCCASIONAL = {
    "vllm_nginx_lb_backend_capacity_tokens_per_second",
    "vllm_nginx_lb_backend_max_conns_applied",
    "vllm_nginx_lb_backend_slots",
}


def test_the_controller_publishes_all_that_the_inventory_lists(metrics: dict[str, Metric]) -> None:
    """Nothing is listed that the code does not have, but for what needs an occasion."""
    coded = made.published([generate_latest(lived().registry).decode()])
    listed = {name for name, metric in metrics.items() if metric.source == "controller"}
    assert sorted(listed - coded.keys() - OCCASIONAL) == []


@pytest.mark.parametrize("name", sorted(OCCASIONAL))
def test_what_needs_an_occasion_is_in_the_code(name: str) -> None:
    """An occasional metric is named where the controller's gauges are made."""
    code = (DIRECTORY.parents[1] / "controller" / "app" / "last_tick.py").read_text()
    assert f'"{name.removeprefix("vllm_nginx_lb_")}"' in code
