"""The check of the Prometheus side: asks what a tick asks, and then why it came out so."""

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise

from controller.adapters.prometheus.client import PrometheusClient
from controller.adapters.prometheus.findings import (
    Finding,
    Severity,
    double_scrape_finding,
    instance_findings,
    signal_findings,
    timing_findings,
)
from controller.adapters.prometheus.pools import PoolQuery
from controller.adapters.prometheus.profiles import PROFILES
from controller.adapters.prometheus.queries import selected, signal_expression
from controller.adapters.prometheus.recipes import Series
from controller.adapters.prometheus.source import PrometheusSource
from controller.core.errors import SourceError, SourceFault

_UP = Series("up", has_model=False)
# Long enough for three scrapes a minute apart; shorter than the lookback of most servers.
_MEASURED = "5m"


def diagnose(client: PrometheusClient, pools: Sequence[PoolQuery]) -> list[Finding]:
    """Ask Prometheus all that a check needs, in as many requests as that takes.

    Never raises SourceError: what cannot be asked is a finding.
    """
    findings = list(_reachable(client))
    if findings[-1].severity is Severity.ERROR:
        return findings
    snapshot = PrometheusSource(client, pools).observe(0.0)
    findings += [
        Finding(Severity.WARNING, f"Prometheus warns: {text}") for text in snapshot.warnings
    ]
    if snapshot.error is not None:
        findings.append(Finding(Severity.ERROR, str(snapshot.error)))
        if snapshot.error.fault is SourceFault.BAD_QUERY:
            findings += _culprits(client, pools)
        return findings
    for pool in pools:
        seen = snapshot.pools[pool.name]
        findings += instance_findings(pool, seen)
        findings += signal_findings(pool, seen)
        try:
            findings += _asked(client, pool)
        except SourceError as error:
            findings.append(Finding(Severity.ERROR, str(error), pool.name))
    return findings


def _reachable(client: PrometheusClient) -> Iterator[Finding]:
    try:
        client.query("vector(1)")
    except SourceError as error:
        yield Finding(Severity.ERROR, str(error))
        return
    try:
        version = client.version()
    except SourceError:
        # The page is optional: some servers of the query API do not have it.
        version = ""
    said = f"version {version}" if version else "it does not say its version"
    yield Finding(Severity.OK, f"Prometheus answers ({said}).")


def _culprits(client: PrometheusClient, pools: Sequence[PoolQuery]) -> Iterator[Finding]:
    """Ask for each signal alone, to name the one that spoils the query of all."""
    for pool in pools:
        for signal in (*pool.profiled(), *pool.own()):
            try:
                client.query(signal_expression(pool, signal))
            except SourceError as error:
                yield Finding(Severity.ERROR, f"signal {signal}: {error}", pool.name)


def _asked(client: PrometheusClient, pool: PoolQuery) -> Iterator[Finding]:
    by = pool.instance_label
    up = selected(pool, _UP)
    doubled = client.query(f"count by ({by}) ({up}) > 1").series
    yield from double_scrape_finding(pool, [each["metric"].get(by, "") for each in doubled])
    yield from timing_findings(pool, _intervals(client, f"{up}[{_MEASURED}]", by))
    for signal in pool.own():
        series = client.query(signal_expression(pool, signal)).series
        if any(by not in each["metric"] for each in series):
            yield Finding(
                Severity.ERROR,
                f"the PromQL of signal {signal} drops the label `{by}`: aggregate by it.",
                pool.name,
            )
    yield from _other_engine(client, pool)


def _intervals(client: PrometheusClient, promql: str, by: str) -> dict[str, float]:
    """Seconds between scrapes by instance; an instance scraped less than twice is absent."""
    intervals: dict[str, float] = {}
    for series in client.query(promql).series:
        times = [float(sample[0]) for sample in series["values"]]
        if len(times) > 1:
            gaps = [after - before for before, after in pairwise(times)]
            intervals[series["metric"].get(by, "")] = statistics.median(gaps)
    return intervals


def _other_engine(client: PrometheusClient, pool: PoolQuery) -> Iterator[Finding]:
    """A pool whose targets are of another kind than its profile says."""
    own = pool.engine().landmark
    if own is None or client.query(selected(pool, own)).series:
        return
    for name, profile in PROFILES.items():
        landmark = profile.landmark
        if landmark is None or landmark == own:
            continue
        if client.query(selected(pool, landmark)).series:
            yield Finding(
                Severity.ERROR,
                f"the targets publish {landmark.name}: the profile should be {name}.",
                pool.name,
            )
            return
    model = f" with model_name {pool.model_name!r}" if pool.model_name else ""
    yield Finding(
        Severity.ERROR,
        f"no target publishes {own.name}{model}: is /metrics of the engine scraped?",
        pool.name,
    )
