"""The simulator's /metrics against what real vLLM answers, series by series."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from simulator.engine import Engine
from simulator.http_metrics import HttpMetrics, new_registry
from simulator.metrics import EngineMetrics
from simulator.presets import LAB

from .engines import request, run_until_idle

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"
ALL = sorted(path.stem for path in CAPTURES.glob("*.prom"))
# Several API server processes share their series through files, which leaves out `_created` and
# the process_ and python_ families; so does a server of two engines. All others have everything.
SHARED = {"12-two-api-servers", "13-dp2"}
# In a shared registry these gauges say which process they come from.
SHARED_LABELS = {"pid"}


@dataclass(slots=True)
class Shape:
    """What a text of metrics has, apart from its numbers."""

    types: dict[str, str] = field(default_factory=dict)
    labels: dict[str, set[frozenset[str]]] = field(default_factory=lambda: defaultdict(set))
    bounds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    label_values: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))


# The values of these labels are a vocabulary; those of others belong to a server or its traffic.
VOCABULARIES = {"reason", "source", "finished_reason", "sleep_state", "engine"}


def shape_of(text: str) -> Shape:
    """Return the shape of an exposition in the text format."""
    shape = Shape()
    for family in text_string_to_metric_families(text):
        shape.types[family.name] = family.type
        for sample in family.samples:
            shape.labels[sample.name].add(frozenset(sample.labels) - SHARED_LABELS)
            if "le" in sample.labels:
                shape.bounds[sample.name].add(sample.labels["le"])
            for label in VOCABULARIES & sample.labels.keys():
                shape.label_values[sample.name, label].add(sample.labels[label])
    return shape


def captured(name: str) -> Shape:
    """Return the shape of a capture."""
    return shape_of((CAPTURES / f"{name}.prom").read_text(encoding="utf-8"))


def exposition_after_traffic() -> str:
    """Return what a laboratory server exposes after two completions."""
    registry = new_registry()
    metrics = EngineMetrics(registry, "tiny", LAB)
    engine = Engine(LAB)
    for name in ("one", "two"):
        engine.add(request(name, 10, 5, arrival_s=100.0))
    for result in run_until_idle(engine, start_s=100.0):
        metrics.observe_step(result)
    http = HttpMetrics(registry)
    for handler, method in (("/v1/completions", "POST"), ("/v1/models", "GET")):
        http.observe(
            handler=handler,
            method=method,
            status=200,
            duration_s=0.1,
            request_bytes=100,
            response_bytes=0,
        )
    return generate_latest(registry).decode()


@pytest.fixture(scope="module")
def simulated() -> Shape:
    """The shape of the simulator's metrics."""
    return shape_of(exposition_after_traffic())


def test_captures_are_there() -> None:
    """All fifteen captures are compared."""
    assert len(ALL) == 15
    assert set(ALL) >= SHARED


@pytest.mark.parametrize("name", ALL)
def test_every_captured_family_exists(simulated: Shape, name: str) -> None:
    """Every family of a real server exists in the simulator, with the same type."""
    types = captured(name).types
    assert {family: simulated.types.get(family) for family in types} == types


@pytest.mark.parametrize("name", ALL)
def test_every_captured_series_has_its_labels(simulated: Shape, name: str) -> None:
    """Every series of a real server exists in the simulator, with the same label names."""
    labels = captured(name).labels
    assert {sample: simulated.labels.get(sample) for sample in labels} == labels


@pytest.mark.parametrize("name", ALL)
def test_every_captured_bucket_exists(simulated: Shape, name: str) -> None:
    """Every histogram has the bucket bounds of a real server of the same context length."""
    bounds = captured(name).bounds
    assert {sample: simulated.bounds.get(sample) for sample in bounds} == bounds


@pytest.mark.parametrize("name", [name for name in ALL if name not in SHARED])
def test_every_captured_label_value_exists(simulated: Shape, name: str) -> None:
    """Reasons, sources and states are those of a real server, all there from the start."""
    values = captured(name).label_values
    assert {sample: simulated.label_values.get(sample) for sample in values} == values


@pytest.mark.parametrize("name", [name for name in ALL if name not in SHARED])
def test_no_invented_family(simulated: Shape, name: str) -> None:
    """The simulator has no vllm: or http_ family that a real server lacks."""
    real = captured(name).types
    assert {
        f for f in simulated.types if f.startswith(("vllm:", "http_")) and f not in real
    } == set()


def value(registry_text: str, name: str, **labels: str) -> float:
    """Return the one sample of a name that has the labels given."""
    (found,) = [
        sample.value
        for family in text_string_to_metric_families(registry_text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


def test_numbers_of_finished_requests() -> None:
    """Two answers of five tokens count as vLLM counts them."""
    text = exposition_after_traffic()
    assert value(text, "vllm:generation_tokens_total") == 10
    assert value(text, "vllm:prompt_tokens_total") == 20
    assert value(text, "vllm:prompt_tokens_by_source_total", source="local_compute") == 20
    assert value(text, "vllm:request_success_total", finished_reason="length") == 2
    assert value(text, "vllm:time_to_first_token_seconds_count") == 2
    assert value(text, "vllm:time_to_first_token_seconds_sum") == pytest.approx(2 * 0.021)
    assert value(text, "vllm:inter_token_latency_seconds_count") == 8
    assert value(text, "vllm:inter_token_latency_seconds_sum") == pytest.approx(8 * 0.021)
    assert value(text, "vllm:iteration_tokens_total_count") == 5
    assert value(text, "vllm:iteration_tokens_total_sum") == 30
    assert value(text, "vllm:e2e_request_latency_seconds_sum") == pytest.approx(2 * 5 * 0.021)
    assert value(text, "vllm:request_time_per_output_token_seconds_sum") == pytest.approx(0.042)


def test_recomputed_prompts_are_not_counted_twice() -> None:
    """After preemptions the prompt tokens are still those of the requests, as in the captures."""
    registry = new_registry()
    metrics = EngineMetrics(registry, "tiny", LAB)
    engine = Engine(LAB)
    engine.set_num_gpu_blocks(30)
    for index in range(8):
        engine.add(request(f"r{index}", 40, 60))
    for result in run_until_idle(engine):
        metrics.observe_step(result)
    text = generate_latest(registry).decode()
    assert value(text, "vllm:num_preemptions_total") > 0
    assert value(text, "vllm:prompt_tokens_total") == 8 * 40
    assert value(text, "vllm:iteration_tokens_total_sum") == 8 * (40 + 60)
    assert value(text, "vllm:request_num_preemptions_sum") == value(
        text, "vllm:num_preemptions_total"
    )


def test_cache_config_follows_the_cache() -> None:
    """After a change of the KV cache there is one cache_config_info, with the new size."""
    registry = new_registry()
    metrics = EngineMetrics(registry, "tiny", LAB)
    metrics.set_num_gpu_blocks(100)
    text = generate_latest(registry).decode()
    assert value(text, "vllm:cache_config_info", num_gpu_blocks="100") == 1
    assert value(text, "vllm:cache_config_info", kv_cache_size_tokens="1600") == 1
