"""What the demo found, in a table, in a sentence and as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from lab.demo.alarm import PACE, Notified
from lab.demo.routers import Router
from lab.demo.turns import Turn
from lab.demo.view import seconds
from lab.load import percentile

# Two short runs of the same thing differ by as much.
ABOUT_EQUAL = 0.1
WHY_WORSE = {
    "ladder": "the ladder's weights follow queues and KV use, which are not what a backend can"
    " carry, and it changes them often",
    "equal": "equal weights are least_conn, so chance alone separates the two",
}
WHY_WORSE_IN_GENERAL = (
    "it began without any knowledge, and each reload makes Nginx forget how many requests every"
    " backend has in flight"
)
# Two steps of the fastest engine; more delay than that could be taken for the router's.
TOO_LATE_S = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """What a router achieved; times of requests that failed are not among them.

    Attributes:
        requests: Requests due.
        failed: Those without a whole answer.
        ttft_p50_s: Median time to first token in seconds.
        ttft_p99_s: Its 99th percentile.
        e2e_p99_s: 99th percentile of the time to the last token.
        output_tokens_per_s: Tokens of whole answers, over the time until the last of them.
    """

    requests: int
    failed: int
    ttft_p50_s: float | None
    ttft_p99_s: float | None
    e2e_p99_s: float | None
    output_tokens_per_s: float


def figures(turn: Turn) -> Figures:
    """Work out the figures of a turn."""
    good = [outcome for outcome in turn.outcomes if outcome.error is None]
    ttft_s = [outcome.ttft_s for outcome in good if outcome.ttft_s is not None]
    last_s = max((outcome.ended_s for outcome in good), default=0.0)
    tokens = sum(outcome.tokens for outcome in good)
    return Figures(
        requests=turn.requests,
        failed=turn.requests - len(good),
        ttft_p50_s=_rounded(percentile(ttft_s, 50)),
        ttft_p99_s=_rounded(percentile(ttft_s, 99)),
        e2e_p99_s=_rounded(percentile([outcome.e2e_s for outcome in good], 99)),
        output_tokens_per_s=round(tokens / last_s, 1) if last_s else 0.0,
    )


def as_json(turns: Sequence[Turn]) -> dict[str, object]:
    """The result as JSON values."""
    routers = {str(turn.router): asdict(figures(turn)) for turn in turns}
    return {**routers, "reloads": sum(turn.reloads for turn in turns)}


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    field: str
    unit: str
    less_is_better: bool = True


_COLUMNS = (
    _Column("failed", "failed", ""),
    _Column("TTFT p50", "ttft_p50_s", "s"),
    _Column("TTFT p99", "ttft_p99_s", "s"),
    _Column("e2e p99", "e2e_p99_s", "s"),
    _Column("tokens/s", "output_tokens_per_s", "", less_is_better=False),
)
_COMPARED = _COLUMNS[2:]


def table(turns: Sequence[Turn]) -> Table:
    """The routers side by side; a star marks the best of each column, where they differ."""
    shown = Table("router", "requests", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows = [[turn.router.spoken, str(turn.requests)] for turn in turns]
    for column in _COLUMNS:
        shown.add_column(column.title, justify="right")
        values = [getattr(figures(turn), column.field) for turn in turns]
        texts = [_text(value, column.unit) for value in values]
        best = _best(column, values, texts)
        for row, text in zip(rows, texts, strict=True):
            blank = "  " if best else ""
            row.append(f"[bold green]{text} *[/]" if text == best else f"{text}{blank}")
    shown.add_column("reloads", justify="right")
    for row, turn in zip(rows, turns, strict=True):
        shown.add_row(*row, str(turn.reloads))
    return shown


def _best(column: _Column, values: Sequence[float | None], texts: Sequence[str]) -> str | None:
    """The best of a column as it is shown; None when all look the same."""
    known = [(value, text) for value, text in zip(values, texts, strict=True) if value is not None]
    if len(set(texts)) == 1 or not known:
        return None
    return (min if column.less_is_better else max)(known)[1]


def sentences(turns: Sequence[Turn], policy: str) -> list[str]:
    """What the table means, whichever way it fell."""
    by_router = {turn.router: figures(turn) for turn in turns}
    ours, plain = by_router[Router.CONTROLLER], by_router[Router.LEAST_CONN]
    verdicts: dict[str, list[str]] = {"better": [], "worse": [], "about equal": []}
    for column in _COMPARED:
        own, other = getattr(ours, column.field), getattr(plain, column.field)
        if own and other:
            ratio = own / other
            gain = ratio if column.less_is_better else 1 / ratio
            verdict = "about equal"
            if abs(ratio - 1) > ABOUT_EQUAL:
                verdict = "better" if gain < 1 else "worse"
            verdicts[verdict].append(f"{column.title} {ratio:.2f} times")
    found = "; ".join(f"{name}: {', '.join(each)}" for name, each in verdicts.items() if each)
    said = [f"The controller with policy {policy}, against least_conn: {found}."]
    if verdicts["worse"]:
        said.append(f"Where it was worse: {WHY_WORSE.get(policy, WHY_WORSE_IN_GENERAL)}.")
    said.append(
        f"One run of {ours.requests} requests per router against simulated backends:"
        f" differences below {ABOUT_EQUAL:.0%} may be chance."
    )
    return said + _failures(turns)


def notified(told: Notified) -> str:
    """That a fault reached somebody, and how soon."""
    return (
        f"When an engine froze behind an API that went on saying 200, the controller took it out"
        f" after {told.out_s:.1f} s and {told.alert} reached the webhook after {told.told_s:.1f} s,"
        f" with the times of the shipped rules divided by {PACE}."
    )


def pace(turns: Sequence[Turn], worst_lag_s: float) -> str:
    """Whether the machine was fast enough for the figures to mean anything."""
    late_s = max((each.late_s for turn in turns for each in turn.outcomes), default=0.0)
    figure = f"requests went out at most {late_s * 1000:.0f} ms late"
    figure += f", tokens {worst_lag_s * 1000:.0f} ms"
    if max(late_s, worst_lag_s) > TOO_LATE_S:
        return f"This machine did not keep pace, which blurs the figures: {figure}."
    return f"This machine kept pace: {figure}."


def _failures(turns: Sequence[Turn]) -> list[str]:
    said = []
    for turn in turns:
        kinds = Counter(outcome.error for outcome in turn.outcomes if outcome.error)
        if unsent := turn.requests - len(turn.outcomes):
            kinds["not sent in time"] = unsent
        if kinds:
            listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
            said.append(f"Failed with {turn.router.spoken}: {listed}.")
    return said


def _text(value: float | None, unit: str) -> str:
    return seconds(value) if unit == "s" else f"{value:,.0f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
