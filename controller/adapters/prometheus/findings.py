"""What a check of the Prometheus side can find, and what follows from one observation; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.adapters.prometheus.pools import PoolQuery
from controller.core.model import PoolSnapshot, SampleFault

# Names in one sentence; the rest is a number.
_NAMED = 5
# Prometheus' own advice: one failed scrape must leave enough samples for a rate.
_SCRAPES_PER_WINDOW = 4
_SCRAPES_FOR_A_RATE = 2


class Severity(StrEnum):
    """What a finding asks of its reader."""

    OK = "ok"
    """Nothing; it says what was found to be right."""
    WARNING = "warning"
    """The controller works, but worse than it could."""
    ERROR = "error"
    """The controller cannot use this."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        severity: What it asks of its reader.
        text: One sentence, with what to do where something is wrong.
        pool: The pool it is about; "" for Prometheus as a whole.
    """

    severity: Severity
    text: str
    pool: str = ""


def instance_findings(pool: PoolQuery, seen: PoolSnapshot) -> Iterator[Finding]:
    """Which backends Prometheus knows, which it does not, and which nobody configured."""
    known = sorted(a for a, each in seen.observations.items() if each.up is not None)
    if known:
        yield Finding(Severity.OK, f"Prometheus knows {_names(known)}.", pool.name)
    elif pool.static is None:
        yield Finding(
            Severity.ERROR,
            f"no instance with an `up` series matches the selector {{{pool.selector}}};"
            " compare it with the labels on Prometheus' page of targets.",
            pool.name,
        )
    missing = sorted(a for a, each in seen.observations.items() if each.up is None)
    if missing:
        yield Finding(
            Severity.ERROR,
            f"no `up` series for {_names(missing)}: their `{pool.instance_label}` label is none of"
            " the configured ones, or the selector leaves them out.",
            pool.name,
        )
    down = sorted(a for a, each in seen.observations.items() if each.up is False)
    if down:
        yield Finding(
            Severity.ERROR, f"the last scrape of {_names(down)} failed (up is 0).", pool.name
        )
    if seen.unmapped:
        why = "not configured" if pool.static is not None else "no address, or that of another"
        yield Finding(
            Severity.WARNING,
            f"{_names(seen.unmapped)} match the selector but belong to no backend: {why}.",
            pool.name,
        )
    for name in seen.foreign_names:
        yield Finding(
            Severity.ERROR,
            f"metrics are stored as {name}, without a colon: add the relabelling rule of"
            " docs/prometheus.md to the scrape configuration.",
            pool.name,
        )


def signal_findings(pool: PoolQuery, seen: PoolSnapshot) -> Iterator[Finding]:
    """Which signals every, some or no backend has, and which values cannot be used."""
    for name in sorted(set(pool.signals) - set(pool.profiled()) - set(pool.own())):
        yield Finding(
            Severity.WARNING,
            f"signal {name} is needed, but the profile {pool.profile} has none: give it PromQL.",
            pool.name,
        )
    live = {address: each for address, each in seen.observations.items() if each.up}
    if not live:
        return
    complete = []
    for name in (*pool.profiled(), *pool.own()):
        lacking = sorted(
            address
            for address, each in live.items()
            if name not in each.signals and name not in each.faults
        )
        if lacking:
            who = "every backend" if len(lacking) == len(live) else _names(lacking)
            yield Finding(Severity.WARNING, f"signal {name} is missing for {who}.", pool.name)
        faults = {a: each.faults[name] for a, each in live.items() if name in each.faults}
        for fault in SampleFault:
            bad = sorted(address for address, found in faults.items() if found is fault)
            if bad:
                yield Finding(
                    Severity.ERROR, f"signal {name} is {fault} for {_names(bad)}.", pool.name
                )
        if not lacking and not faults:
            complete.append(name)
    if complete:
        yield Finding(Severity.OK, f"every live backend has {', '.join(complete)}.", pool.name)


def timing_findings(pool: PoolQuery, intervals_s: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the window and the greatest age suit the scrape interval, measured per instance."""
    if not intervals_s:
        return
    slowest = max(intervals_s, key=intervals_s.__getitem__)
    interval_s = intervals_s[slowest]
    measured = f"{slowest} is scraped every {interval_s:.3g} s"
    wanted_s = _SCRAPES_PER_WINDOW * interval_s
    if pool.window_s < wanted_s * 0.99:
        never = pool.window_s < _SCRAPES_FOR_A_RATE * interval_s
        yield Finding(
            Severity.ERROR if never else Severity.WARNING,
            f"{measured}, so a window of {pool.window_s:g} s"
            f" {'often holds no rate' if never else 'loses its rates with a failed scrape'}:"
            f" make it {wanted_s:.3g} s or scrape more often.",
            pool.name,
        )
    elif pool.max_age_s < _SCRAPES_FOR_A_RATE * interval_s:
        yield Finding(
            Severity.WARNING,
            f"{measured}, so a greatest age of {pool.max_age_s:g} s takes one failed scrape for"
            f" staleness: make it {_SCRAPES_FOR_A_RATE * interval_s:.3g} s.",
            pool.name,
        )
    else:
        yield Finding(Severity.OK, f"{measured}; the window suits it.", pool.name)


def double_scrape_finding(pool: PoolQuery, instances: Sequence[str]) -> Iterator[Finding]:
    """Instances with several `up` series, whose sums would count double."""
    if instances:
        yield Finding(
            Severity.ERROR,
            f"{_names(sorted(instances))} match the selector more than once (two jobs, or two"
            " replicas of Prometheus): their sums count double; narrow the selector.",
            pool.name,
        )


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more} more" if more > 0 else "")
