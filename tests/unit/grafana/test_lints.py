"""Each lint trips on a dashboard that has the fault it is there for."""

import copy
from collections.abc import Callable, Mapping

import pytest

from tests.unit.grafana import lints_panels, lints_queries
from tests.unit.grafana.clean_board import Board, clean_board
from tests.unit.grafana.lints_queries import LINTS, Lint


def _asking(expr: str, **target: str) -> Callable[[Board], None]:
    def change(board: Board) -> None:
        board["panels"][1]["targets"][0].update(expr=expr, legendFormat="", **target)

    return change


def _panel(**facts: object) -> Callable[[Board], None]:
    return lambda board: board["panels"][1].update(facts)


def _field(**facts: object) -> Callable[[Board], None]:
    return lambda board: board["panels"][1]["fieldConfig"]["defaults"].update(facts)


def _pool(**facts: object) -> Callable[[Board], None]:
    return lambda board: board["templating"]["list"][1].update(facts)


def _place(**place: int) -> Callable[[Board], None]:
    return lambda board: board["panels"][1]["gridPos"].update(place)


_LOG = 'nginx_lb_requests_total{pool=~"$pool"}'
_RATE = f"rate({_LOG}[$__rate_interval])"
_BUCKETS = 'sum by (le) (rate(nginx_lb_request_seconds_bucket{pool=~"$pool"}[$__rate_interval]))'
_LINK = [{"url": "/d/lb-test?var-pool=${__field.labels.upstream}"}]
_COLUMN = [{"url": "/d/lb-test?var-pool=${__data.fields.upstream}"}]

CASES: list[tuple[Lint, Callable[[Board], None], str]] = [
    (lints_panels.says_what_it_is, _panel(title=""), "no title"),
    (lints_panels.says_what_it_is, _panel(description="Requests."), "what is normal"),
    (lints_panels.says_what_it_is, _field(unit=None), "unit"),
    (lints_panels.says_what_it_is, _field(unit="parsecs"), "unit"),
    (lints_panels.says_what_it_is, _field(noValue=""), "no data"),
    (lints_queries.names_its_metrics, _panel(description="Normal: some."), "names none"),
    (lints_queries.is_parsed, _asking("sum("), "A: "),
    (lints_queries.is_parsed, _asking("up{job=~'$jobs'}"), "jobs"),
    (lints_queries.reads_what_exists, _asking("vllm:num_request_running"), "num_request_running"),
    (lints_queries.rates_counters, _asking(f"sum({_LOG})"), "without rate()"),
    (lints_queries.rates_counters, _asking("sum(nginx_connections_accepted)"), "without rate()"),
    (
        lints_queries.rates_counters,
        _asking("sum(nginx_lb_request_seconds_count)"),
        "without rate()",
    ),
    (lints_queries.rates_counters, _asking(f"rate({_LOG}[5m])"), "$__rate_interval"),
    (
        lints_queries.rates_counters,
        _asking("rate(backend:requests_finished:rate5m[$__rate_interval])"),
        "no counter",
    ),
    (lints_queries.cannot_be_nan, _asking(f"{_RATE} / {_RATE}"), "can be 0"),
    (lints_queries.cannot_be_nan, _asking(f"{_RATE} / ({_RATE} >= 0)"), "can be 0"),
    (lints_queries.cannot_be_nan, _asking(f"histogram_quantile(0.95, {_BUCKETS})"), "can be NaN"),
    (lints_queries.keeps_legends, lambda board: _legend(board, "{{upstream}}"), "upstream"),
    (lints_queries.keeps_legends, lambda board: _legend(board, "{{pool}} {{code}}"), "code"),
    (lints_queries.keeps_legends, _field(links=_LINK), "link needs upstream"),
    (lints_queries.keeps_legends, _field(links=_COLUMN), "column upstream"),
    (
        lints_queries.merges_rows,
        lambda board: _table(board, "pool:requests:rate5m"),
        "name of a metric",
    ),
    (
        lints_queries.merges_rows,
        lambda board: _table(board, "sum by (job) (up)"),
        "no label in common",
    ),
    (lints_queries.chooses_safely, _pool(multi=False), "several and all"),
    (lints_queries.chooses_safely, _pool(includeAll=False), "several and all"),
    (lints_queries.chooses_safely, _pool(name="tank"), "no variable"),
    (lints_queries.chooses_safely, _asking('pool:requests:rate5m{pool="$pool"}'), "one value"),
    (lints_queries.chooses_safely, _asking("pool:requests:rate5m"), "used by no query"),
    (lints_queries.chooses_safely, lambda board: board["templating"]["list"].pop(0), "data source"),
    (
        lints_queries.chooses_safely,
        lambda board: board["templating"]["list"].append({"type": "datasource", "name": "other"}),
        "data source",
    ),
    (
        lints_panels.asks_one_source,
        _panel(datasource={"type": "prometheus", "uid": "mine"}),
        "mine",
    ),
    (lints_panels.asks_one_source, _pool(datasource=None), "pool: asks None"),
    (
        lints_panels.asks_one_source,
        lambda board: board["panels"][1]["targets"][0].pop("datasource"),
        "asks None",
    ),
    (lints_panels.is_numbered, _panel(id=1), "given twice"),
    (lints_panels.is_numbered, lambda board: _twice(board["panels"][1]["targets"]), "given twice"),
    (lints_panels.fits_the_grid, _place(x=1), "beyond the edge"),
    (lints_panels.fits_the_grid, _place(h=0), "beyond the edge"),
    (lints_panels.fits_the_grid, _place(y=0), "lies on"),
    (
        lints_panels.marks_moments,
        lambda board: board["annotations"]["list"][0].update(expr="max(time())"),
        "milliseconds",
    ),
]


def _legend(board: Board, legend: str) -> None:
    board["panels"][1]["targets"][0]["legendFormat"] = legend


def _table(board: Board, expr: str) -> None:
    panel = board["panels"][1]
    panel["type"] = "table"
    panel["targets"].append(panel["targets"][0] | {"refId": "B", "expr": expr})


def _twice(targets: list[Board]) -> None:
    targets.append(copy.deepcopy(targets[0]))


@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.__name__)
def test_a_clean_dashboard_passes(lint: Lint) -> None:
    """What has no fault is not blamed, or the cases below would prove nothing."""
    assert list(lint(clean_board())) == []


@pytest.mark.parametrize(
    ("lint", "spoil", "said"), CASES, ids=[f"{lint.__name__}: {said}" for lint, _, said in CASES]
)
def test_a_fault_is_found(lint: Lint, spoil: Callable[[Board], None], said: str) -> None:
    """The lint trips on the fault, and says what it is."""
    board = clean_board()
    spoil(board)
    faults = list(lint(board))
    assert any(said in fault for fault in faults), faults


def test_every_lint_has_a_case() -> None:
    """A lint that nobody saw trip may never trip."""
    assert {lint for lint, _, _ in CASES} == set(LINTS)


def _linking(url: str) -> Mapping[str, Board]:
    board = clean_board()
    board["links"] = [{"url": url}]
    return {"test.json": board}


@pytest.mark.parametrize(
    ("boards", "said"),
    [
        (_linking("/d/lb-test?var-pool=x"), None),
        (_linking("/d/lb-nowhere"), "no dashboard lb-nowhere"),
        (_linking("/d/lb-test?var-tank=x"), "no variable tank"),
        ({"one.json": clean_board(), "other.json": clean_board()}, "one uid"),
    ],
)
def test_a_link_into_nothing_is_found(boards: Mapping[str, Board], said: str | None) -> None:
    """A dashboard or a variable that a link names has to exist, and uids to be unique."""
    faults = list(lints_panels.leads_somewhere(boards))
    assert (faults == []) if said is None else any(said in fault for fault in faults)
