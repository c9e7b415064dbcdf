"""The summary: figures, stars and sentences that say what was measured."""

import io

from rich.console import Console

from lab.demo import summary
from lab.demo.alarm import Notified
from lab.demo.routers import Router
from lab.demo.turns import Turn
from lab.load import Arrival, Outcome


def outcome(
    ttft_s: float, e2e_s: float, error: str | None = None, tokens: int = 10, late_s: float = 0.0
) -> Outcome:
    """What became of a request that was due at once."""
    return Outcome(Arrival(0.0, 8, 10), e2e_s, late_s, error, "a:1", ttft_s, tokens, ())


def turn(router: Router, ttft_s: float, e2e_s: float, reloads: int = 0) -> Turn:
    """A turn in which ten requests fared alike."""
    return Turn(router, 10, (outcome(ttft_s, e2e_s),) * 10, reloads)


def turns(controller_ttft_s: float) -> list[Turn]:
    """All three turns; the controller's TTFT varies."""
    return [
        turn(Router.ROUND_ROBIN, 5.0, 9.0),
        turn(Router.LEAST_CONN, 1.0, 4.0),
        turn(Router.CONTROLLER, controller_ttft_s, 4.0, reloads=3),
    ]


def printed(found: list[Turn], width: int) -> list[str]:
    """The summary table as lines of text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(summary.table(found))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_json_has_every_field() -> None:
    """The result names the three routers with their six figures, and the reloads."""
    found = summary.as_json(turns(1.0))
    assert list(found) == ["round_robin", "least_conn", "controller", "reloads"]
    assert found["reloads"] == 3
    assert found["least_conn"] == {
        "requests": 10,
        "failed": 0,
        "ttft_p50_s": 1.0,
        "ttft_p99_s": 1.0,
        "e2e_p99_s": 4.0,
        "output_tokens_per_s": 25.0,
    }


def test_a_request_that_failed_or_never_went_out_is_a_failure_only() -> None:
    """Failures and unsent requests count as failed and add neither times nor tokens."""
    mixed = Turn(Router.LEAST_CONN, 3, (outcome(1, 4), outcome(9, 9, error="HTTP 502")), 0)
    figures = summary.figures(mixed)
    assert (figures.failed, figures.ttft_p99_s, figures.output_tokens_per_s) == (2, 1, 2.5)
    said = " ".join(summary.sentences([*turns(1.0)[::2], mixed], "ladder"))
    assert "1 HTTP 502" in said
    assert "1 not sent in time" in said


def test_without_a_single_answer_there_are_no_times() -> None:
    """A turn in which everything failed has no percentiles, and still a summary."""
    nothing = Turn(Router.CONTROLLER, 10, (), 0)
    assert summary.figures(nothing).ttft_p50_s is None
    found = [*turns(1.0)[:2], nothing]
    assert "-" in printed(found, 80)[-1]
    assert summary.sentences(found, "ladder")


def test_the_best_of_a_column_has_a_star() -> None:
    """A star marks the best, each of them on a tie, and none where all are alike."""
    rows = printed(turns(0.5), 80)
    assert "0.50 s *" in rows[-1]
    assert "1.00 s *" not in rows[-2]
    assert [row.count("4.00 s *") for row in rows] == [0, 0, 1, 1]
    assert not any("10 *" in row or "0 *  " in row[:25] for row in rows)


def test_the_summary_fits_a_narrow_terminal() -> None:
    """At 80 columns each router stays on one line."""
    assert [row.split("  ")[0] for row in printed(turns(11.0), 80)] == [
        "router",
        "round robin",
        "least_conn",
        "controller",
    ]


def test_a_controller_that_lost_is_said_to_have_lost() -> None:
    """Where the controller was worse the sentences say so, and why."""
    said = " ".join(summary.sentences(turns(2.0), "ladder"))
    assert "worse: TTFT p99 2.00 times" in said
    assert "about equal: e2e p99 1.00 times" in said
    assert "the ladder's weights" in said


def test_a_controller_that_won_needs_no_excuse() -> None:
    """Where the controller was better the sentences say so, with the ratio."""
    said = " ".join(summary.sentences(turns(0.5), "ladder"))
    assert "better: TTFT p99 0.50 times" in said
    assert "worse" not in said.lower()


def test_a_machine_that_was_too_slow_is_named() -> None:
    """Requests that went out late, or tokens that came late, make the figures doubtful."""
    on_time = turns(1.0)
    late = [Turn(Router.LEAST_CONN, 1, (outcome(1, 4, late_s=0.2),), 0)]
    assert summary.pace(on_time, 0.01).startswith("This machine kept pace")
    assert summary.pace(late, 0.01).startswith("This machine did not keep pace")
    assert summary.pace(on_time, 0.3).startswith("This machine did not keep pace")


def test_the_notification_has_its_times() -> None:
    """The last sentence says when the backend was out, when somebody was told, at what pace."""
    said = summary.notified(Notified("BackendStalled", 8.6, 7.3, 0.7))
    assert "took it out after 8.6 s" in said
    assert "BackendStalled reached the webhook after 7.3 s" in said
    assert "divided by 60" in said
