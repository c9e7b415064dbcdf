"""Figures of requests, and ratios to the best of the rivals."""

from bench.real.figures import Request, Spread, figures, ratio, split, spread, tokens_per_s


def answered(start_s: float, ttft_s: float = 0.1, e2e_s: float = 1.0) -> Request:
    """A request that received three tokens."""
    return Request(start_s, ttft_s, e2e_s, 3, (20.0, 40.0))


REFUSED = Request(9.0, 0.0, 0.0, 0, (), "Service Unavailable")


def test_a_failed_request_counts_as_an_error_and_nowhere_else() -> None:
    """A router that refuses quickly does not look quick."""
    alone, both = figures([answered(0)]), figures([answered(0), REFUSED])
    assert (both.requests, both.errors) == (2, 1)
    assert (both.ttft_ms, both.itl_ms, both.e2e_s) == (alone.ttft_ms, alone.itl_ms, alone.e2e_s)
    assert both.ttft_ms == Spread(100.0, 100.0, 100.0)


def test_without_any_answer_there_are_no_figures() -> None:
    """Nothing is made up for a run in which all failed."""
    none = figures([REFUSED])
    assert (none.ttft_ms, none.itl_ms, none.e2e_s) == (None, None, None)


def test_times_between_tokens_are_pooled_over_requests() -> None:
    """A long answer weighs more than a short one."""
    long = Request(0, 0.1, 1.0, 4, (30.0, 30.0, 30.0))
    assert figures([answered(0), long]).itl_ms == Spread(30.0, 30.0, 39.6)


def test_percentiles_lie_between_neighbours() -> None:
    """The P99 of 0..100 is 99, of two values almost the larger one."""
    assert spread(range(101)) == Spread(50.0, 50.0, 99.0)
    assert spread([0.0, 1.0]) == Spread(0.5, 0.5, 0.99)


def test_throughput_counts_until_the_last_token() -> None:
    """The tail in which only slow servers still work belongs to it."""
    assert tokens_per_s([answered(0.0), answered(1.0, e2e_s=2.0), REFUSED]) == 2.0
    assert tokens_per_s([]) == 0.0


def test_a_request_belongs_to_the_part_in_which_it_was_sent() -> None:
    """Where the parts meet, it belongs to the second."""
    early, late = answered(19.9, e2e_s=5), answered(20.0)
    assert split([early, late], 20.0) == ([early], [late])


def test_a_ratio_is_to_the_best_of_the_rivals() -> None:
    """The best latency is the lowest, the best throughput the highest."""
    assert ratio(50.0, [100.0, 200.0, None], more_is_better=False) == 0.5
    assert ratio(50.0, [100.0, 200.0, None], more_is_better=True) == 0.25


def test_there_is_no_ratio_to_nothing() -> None:
    """Without own or rivals' figures nothing is claimed."""
    assert ratio(None, [1.0], more_is_better=False) is None
    assert ratio(1.0, [None], more_is_better=False) is None
