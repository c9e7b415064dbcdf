"""What is wrong with a recording or an alert beside its expression; one sentence per fault."""

import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser as promql

from scripts.check_docs import ROOT
from scripts.inventory import ANY
from tests.unit.rules.known import Known
from tests.unit.rules.rule_files import Rule

SEVERITIES = ("critical", "warning", "info", "none")
TEAMS = ("serving", "monitoring")
DASHBOARDS = ("lb-fleet", "lb-backend", "lb-controller")
ANNOTATIONS = ("summary", "description", "runbook_url", "dashboard")

# level:metric:operations.
_RECORDING = re.compile(r"[a-z][a-z_]*:[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_ALERT = re.compile(r"([A-Z][a-z0-9]*)+")
# `.Labels` is of what a query in the template found.
_TEMPLATE_LABEL = re.compile(r"\$labels\.(\w+)")
_VALUE = re.compile(r"\{\{[^}]*(?:\$value|\.Value)")


def recording_faults(rule: Rule) -> Iterator[str]:
    """A recording says in its name what it is, and is labelled by its expression alone."""
    if not _RECORDING.fullmatch(rule.name):
        yield f"{rule.name} is not level:metric:operations"
    for label in rule.labels:
        yield f"the label {label} is not from the expression"


def alert_faults(rule: Rule, known: Known, root: Path = ROOT) -> Iterator[str]:
    """An alert says how bad it is, whose it is, what it means, and what to do."""
    if not _ALERT.fullmatch(rule.name):
        yield f"{rule.name} is not in CamelCase"
    if rule.labels.get("severity") not in SEVERITIES:
        yield f"severity is {rule.labels.get('severity')!r}, not one of {SEVERITIES}"
    if rule.labels.get("team") not in TEAMS:
        yield f"team is {rule.labels.get('team')!r}, not one of {TEAMS}"
    for name in ANNOTATIONS:
        if not rule.annotations.get(name, "").strip():
            yield f"it has no {name}"
    if rule.annotations.get("dashboard") not in DASHBOARDS:
        yield f"dashboard is {rule.annotations.get('dashboard')!r}, not one of {DASHBOARDS}"
    yield from _runbook_faults(rule, root)
    yield from _template_faults(rule, known)


def _runbook_faults(rule: Rule, root: Path) -> Iterator[str]:
    page = f"docs/runbook/{rule.name}.md"
    if rule.annotations.get("runbook_url") != page:
        yield f"runbook_url is not {page}"
    elif not (root / page).is_file():
        yield f"{page} does not exist"
    elif not (root / page).read_text().startswith(f"# {rule.name}\n"):
        yield f"{page} does not begin with # {rule.name}"


def _template_faults(rule: Rule, known: Known) -> Iterator[str]:
    offered = known.labels(promql.parse(rule.expr)) | set(rule.labels)
    for where, texts in (("annotation", rule.annotations), ("label", rule.labels)):
        for name, text in texts.items():
            for label in sorted(set(_TEMPLATE_LABEL.findall(text)) - offered):
                if ANY not in offered:
                    yield f"the {where} {name} shows the label {label}, which the expression drops"
    for name, text in rule.labels.items():
        if _VALUE.search(text):
            yield f"the label {name} holds a value: each change would be a new alert"
