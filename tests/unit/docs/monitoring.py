"""The subcommands of the programs that come with Prometheus and Alertmanager."""

from collections.abc import Iterator, Sequence

from tests.unit.docs.arguments import Tree, parted, unknown

_TREES = {
    "promtool": Tree.of(
        "check(config healthy metrics ready rules service-discovery web-config)"
        " debug(all metrics pprof) help promql push query(analyze instant labels range series)"
        " test(rules) tsdb"
    ),
    "amtool": Tree.of(
        "alert(add query) check-config cluster(show) config(routes(show test) show) help"
        " silence(add expire import query update) template(render)"
    ),
}
_VALUES = frozenset(
    {
        *("-o", "--alertmanager.url", "--author", "--comment", "--config.file", "--date.format"),
        *("--duration", "--http.config.file", "--output", "--timeout"),
    }
)


def faults(program: str, arguments: Sequence[str]) -> Iterator[str]:
    """A subcommand that a program has not."""
    fault = unknown(program, parted(arguments, _VALUES).words, _TREES[program])
    if fault:
        yield fault
