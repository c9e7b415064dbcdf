"""The check before the start: can Prometheus and Nginx be used, and what would each pool see?"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from controller.adapters.prometheus.diagnose import diagnose
from controller.adapters.prometheus.findings import Severity
from controller.app.config import Config
from controller.app.loop import Loop, TickRecord
from controller.app.wiring import Parts, build, query_of
from controller.core.decide import names_of
from controller.core.errors import ActuationError
from controller.core.memory import Memory
from controller.core.reasons import BackendReason
from controller.core.render import parse


class Subject(StrEnum):
    """What a finding is about."""

    CONFIGURATION = "configuration"
    PROMETHEUS = "prometheus"
    NGINX = "nginx"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: What it asks of its reader.
        subject: What it is about; with the pool where there is one.
        sentence: One sentence, with what to do where something is wrong.
        about: The subject without the pool.
    """

    severity: Severity
    subject: str
    sentence: str
    about: Subject


@dataclass(frozen=True, slots=True)
class Report:
    """All that a check found.

    Attributes:
        findings: In the order in which they were looked for.
        tick: The tick that would have run, with nothing touched.
    """

    findings: tuple[Finding, ...]
    tick: TickRecord

    def failing(self, subject: Subject) -> bool:
        """Whether there is an error about the subject."""
        return any(
            each.about == subject and each.severity == Severity.ERROR for each in self.findings
        )


def examine(config: Config) -> Report:
    """Try everything that a tick needs, and touch nothing."""
    parts = build(config, dry_run=True)
    try:
        prometheus = [
            Finding(
                found.severity,
                f"prometheus, pool {found.pool}" if found.pool else "prometheus",
                found.text,
                Subject.PROMETHEUS,
            )
            for found in diagnose(parts.client, [query_of(config, each) for each in config.pools])
        ]
        tick = Loop(parts.wiring, Memory()).tick()
        findings = [*_configuration(config, tick), *prometheus, *_nginx(parts, tick)]
    finally:
        parts.close()
    return Report(tuple(findings), tick)


def _configuration(config: Config, tick: TickRecord) -> Iterator[Finding]:
    about = Subject.CONFIGURATION
    backends = sum(len(pool.backends or ()) for pool in config.pools)
    yield Finding(
        Severity.OK,
        about,
        f"valid: {len(config.pools)} pool(s), {backends} configured backend(s).",
        about,
    )
    for name, decided in tick.decision.pools.items():
        lost = [
            a for a, (why, _) in decided.target.reasons.items() if why == BackendReason.UNRESOLVED
        ]
        if lost:
            yield Finding(
                Severity.ERROR,
                f"{about}, pool {name}",
                f"no address for {', '.join(lost)}: Nginx would refuse a file with such a name,"
                " so these backends are left out until it resolves.",
                about,
            )
    if config.state.file is None:
        yield Finding(
            Severity.WARNING,
            about,
            "no state.file: what is learned does not outlive a restart.",
            about,
        )
    elif not os.access(config.state.file.parent, os.W_OK):
        yield Finding(
            Severity.WARNING,
            about,
            f"state.file: {config.state.file.parent} is no directory that can be written, so what"
            " is learned does not outlive a restart.",
            about,
        )
    for pool in config.pools:
        names = names_of([each.address for each in pool.backends or ()])
        if names:
            yield Finding(
                Severity.OK,
                f"{about}, pool {pool.name}",
                f"{len(names)} name(s) are looked up and written as addresses.",
                about,
            )


def _nginx(parts: Parts, tick: TickRecord) -> Iterator[Finding]:
    about = Subject.NGINX
    view = tick.nginx
    if view.generation is None:
        yield Finding(Severity.ERROR, about, view.detail, about)
    else:
        yield Finding(Severity.OK, about, f"serves generation {view.generation}.", about)
    try:
        parts.wiring.actuator.rehearse()
    except ActuationError as error:
        yield Finding(Severity.ERROR, about, f"a change could not be made: {error}", about)
        return
    yield Finding(Severity.OK, about, "a change could be made; all short of it works.", about)
    text = parts.wiring.actuator.served_text()
    found = parse(text) if text is not None else None
    if found is None:
        yield Finding(
            Severity.WARNING,
            about,
            "the upstream file was not written by this program; it will be replaced.",
            about,
        )
    elif view.generation not in {None, found.generation}:
        yield Finding(
            Severity.WARNING,
            about,
            f"the file on disk is generation {found.generation}, which is not the one served.",
            about,
        )
