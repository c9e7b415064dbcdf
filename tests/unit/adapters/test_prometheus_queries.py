"""The text of the two queries."""

import pytest

from controller.adapters.prometheus import PROFILES, PoolQuery
from controller.adapters.prometheus.queries import (
    duration,
    freshness_query,
    quoted,
    signal_expression,
    value_query,
)
from controller.core.model import Signal

VLLM = tuple(PROFILES["vllm"].recipes)


def pools(count: int) -> list[PoolQuery]:
    """Pools that need every signal of vLLM."""
    return [PoolQuery(name=f"p{i}", selector=f'job="j{i}"', signals=VLLM) for i in range(count)]


def depth(query: str) -> int:
    """How deep brackets nest."""
    deepest = level = 0
    for character in query:
        level += (character == "(") - (character == ")")
        deepest = max(deepest, level)
    return deepest


def test_union_is_balanced() -> None:
    """A hundred times the pools nest by the logarithm deeper, and take no more than their share."""
    one, hundred = value_query(pools(1)), value_query(pools(100))
    assert depth(hundred) - depth(one) <= 8
    assert len(hundred) < 110 * len(one)
    assert hundred.count("label_replace(") == 100 * len(VLLM)


def test_no_pools_ask_nothing() -> None:
    """Without pools there is no query."""
    assert (value_query([]), freshness_query([])) == ("", "")


def test_all_profiles_know_only_signals() -> None:
    """Profiles provide nothing under a name that no policy knows."""
    for profile in PROFILES.values():
        assert set(profile.recipes) <= set(Signal)


def test_vllm_provides_every_signal() -> None:
    """VLLM has a recipe for each signal of the core."""
    assert set(PROFILES["vllm"].recipes) == set(Signal)


@pytest.mark.parametrize(
    ("signal", "promql"),
    [
        (
            Signal.RUNNING,
            'sum by (pod) (vllm:num_requests_running{job="v",model_name="m"})',
        ),
        (
            Signal.KV_USAGE,
            (
                'max by (pod) (vllm:kv_cache_usage_perc{job="v",model_name="m"})'
                ' or max by (pod) (vllm:gpu_cache_usage_perc{job="v",model_name="m"})'
            ),
        ),
        (
            Signal.PROMPT_RATE,
            (
                'sum by (pod) ((rate(vllm:prompt_tokens_total{job="v",model_name="m"}[1500ms])'
                ' and vllm:prompt_tokens_total{job="v",model_name="m"}))'
            ),
        ),
    ],
)
def test_signal_expression(signal: Signal, promql: str) -> None:
    """A signal is aggregated by the instance label over the pool's series of its model."""
    pool = PoolQuery(
        name="p",
        selector='{job="v",}',
        model_name="m",
        signals=VLLM,
        window_s=1.5,
        instance_label="pod",
    )
    assert signal_expression(pool, signal) == promql


def test_users_promql_is_wrapped_on_lines_of_its_own() -> None:
    """A comment at the end of the user's PromQL cannot swallow our bracket."""
    pool = PoolQuery(name="p", selector='job="v"', extra={"x": "rate(y{selector}[{window}]) # why"})
    assert signal_expression(pool, "x") == ('sum by (instance) (\nrate(y{job="v"}[30s]) # why\n)')


@pytest.mark.parametrize(
    ("selector", "promql"),
    [('job="v"', 'y{job="v",z="1"} + y{job="v"}'), ("", 'y{z="1"} + y{}')],
)
def test_users_matchers_join_the_pools(selector: str, promql: str) -> None:
    """The pool's matchers stand alone or before more of the user's own."""
    pool = PoolQuery(name="p", selector=selector, extra={"x": 'y{selector,z="1"} + y{selector}'})
    assert signal_expression(pool, "x") == f"sum by (instance) (\n{promql}\n)"


@pytest.mark.parametrize(
    ("seconds", "text"), [(30.0, "30s"), (0.5, "500ms"), (90.0004, "90s"), (0.0, "1ms")]
)
def test_duration(seconds: float, text: str) -> None:
    """Durations are whole seconds or milliseconds, never nothing."""
    assert duration(seconds) == text


def test_quoted() -> None:
    """Quotes, backslashes and line breaks stay within a PromQL string."""
    assert quoted('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'
