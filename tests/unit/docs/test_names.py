"""What sentences name in code exists: metrics, alerts, variables, keys, reasons."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from controller.app.config import Config, PoolConfig
from controller.core.reasons import BackendReason, PoolReason
from scripts.check_docs import ROOT, tracked
from scripts.inventory import inventory
from tests.unit.docs.pages import Word, blocks, words
from tests.unit.docs.shell import typed
from tests.unit.rules.rule_files import rules

SERIES = re.compile(
    r"(?:(?:backend|backend_le|model|pool|slo|upstream|vllm|sglang):[a-z_]"
    r"|vllm_nginx_lb_[a-z]|nginx_lb_[a-z])[a-zA-Z0-9_:]*"
)
VARIABLE = re.compile(r"\b(?:VLLM_NGINX_LB|LB|NOTIFY)_[A-Z0-9][A-Z0-9_]*(?!\w|\*|\.\.\.)")
CAMEL = re.compile(r"(?:[A-Z][a-z]+){2,}")
KEY = re.compile(r"([a-z_]+)((?:\.[a-z_]+)+)")
REASON = re.compile(r"(?:held|ejected|blind)_[a-z]+")
# Files, not keys.
FILE_ENDINGS = frozenset(
    {
        *("conf", "json", "lock", "log", "md", "pid", "py", "service", "sh", "socket"),
        *("template", "timer", "toml", "yaml", "yml"),
    }
)


def _all_series() -> frozenset[str]:
    metrics = inventory()
    series = {name for metric in metrics.values() for name in metric.series()}
    return frozenset(metrics) | series | {rule.name for rule in rules("record")}


def _project_text() -> str:
    """All that is no page: what runs, and what configures it."""
    paths = (
        path
        for path in tracked(ROOT)
        if path.suffix not in {".md", ".png", ".svg", ".lock", ".prom"}
        and path.relative_to(ROOT).parts[:2] not in {("tests", "unit"), ("tests", "integration")}
    )
    return "\n".join(path.read_text(errors="replace") for path in paths)


SERIES_KNOWN = _all_series()
PROJECT = _project_text()
NAMES = frozenset(re.findall(r"\w+", PROJECT))
ALERTS = frozenset(rule.name for rule in rules("alert"))
WORDS = words()


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type at all
    """The sections that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not None:
        for argument in get_args(annotation):
            yield from _models(argument)


def key_exists(path: Sequence[str], models: Sequence[type[BaseModel]]) -> bool:
    """Whether a path of keys leads somewhere within one of the sections."""
    if not path or not models:
        # What is below a mapping or a policy has names of its own.
        return True
    fields = [model.model_fields[path[0]] for model in models if path[0] in model.model_fields]
    below = [inner for field in fields for inner in _models(field.annotation)]
    return bool(fields) and key_exists(path[1:], below)


def key_faults(text: str) -> Iterator[str]:
    """Keys that a word names as `section.key`, and that the configuration has not."""
    found = KEY.fullmatch(text.partition(":")[0].strip())
    if found is None or text.rpartition(".")[2] in FILE_ENDINGS:
        return
    path = text.partition(":")[0].strip().split(".")
    sections = [model for model in (Config, PoolConfig) if path[0] in model.model_fields]
    if sections and not key_exists(path, sections):
        yield f"the configuration has no key {text}"


def series_faults(text: str) -> Iterator[str]:
    """Series that a word names, and that nobody publishes or records."""
    if "..." in text or "*" in text or "/" in text.partition("{")[0]:
        return
    for name in SERIES.findall(text.partition("{")[0]):
        is_prefix = name.endswith("_") and any(each.startswith(name) for each in SERIES_KNOWN)
        if name not in SERIES_KNOWN and not is_prefix:
            yield f"nobody publishes or records {name}"


def reason_faults(text: str) -> Iterator[str]:
    """Reasons that a word is, and that no decision has."""
    known = {*BackendReason, *PoolReason}
    if REASON.fullmatch(text) and text not in known and text not in NAMES:
        yield f"no decision has the reason {text}"


def camel_faults(text: str) -> Iterator[str]:
    """Alerts, classes and kinds that a word is, and that are neither alerts nor in the project."""
    if CAMEL.fullmatch(text) and text not in ALERTS | NAMES:
        yield f"there is no alert {text}, and no file of the project has that name"


def variable_faults(text: str) -> Iterator[str]:
    """Variables of the environment that nothing in the project reads."""
    yield from (f"nothing reads {name}" for name in VARIABLE.findall(text) if name not in NAMES)


CHECKS = (key_faults, series_faults, reason_faults, camel_faults, variable_faults)


@pytest.mark.parametrize("page", sorted({word.page for word in WORDS}))
def test_what_a_page_names_exists(page: str) -> None:
    """Code in a sentence names metrics, alerts, variables, keys and reasons that exist."""
    here = [word for word in WORDS if word.page == page]
    found = [f"{word.place}: {each}" for word in here for each in _faults(word)]
    assert found == []


def _faults(word: Word) -> Iterator[str]:
    for check in CHECKS:
        yield from check(word.text)


def test_variables_in_blocks_exist() -> None:
    """A variable that a command or a file on a page sets is one that something reads."""
    found = [
        f"{block.place}: {fault}"
        for block in blocks()
        # What a program says of a wrong variable is no advice to set it.
        for fault in variable_faults(typed(block.text) if block.kind == "console" else block.text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "control.intervall",
        "nginx.gone",
        "health.gone: 3",
        "backend:gone:sum",
        "vllm_nginx_lb_gone_total",
        'vllm:gone{a="b"}',
        "held_gone",
        "GoneAlert",
        "LB_GONE=1",
    ],
)
def test_a_name_that_does_not_exist_is_told(text: str) -> None:
    """Each check finds what it is for."""
    assert list(_faults(Word("p.md:1", "p.md", text)))


@pytest.mark.parametrize(
    "text",
    [
        "control.interval",
        "nginx.confirm_timeout: 5s",
        "upstream.max_fails",
        "prometheus.yml",
        "prometheus.headers.X",
        "backend:output_tokens:rate1m",
        "vllm:...",
        "vllm_nginx_lb_pool_",
        "held_stale",
        "PoolPanic",
        "LB_POOL=llm",
    ],
)
def test_a_name_that_exists_is_none(text: str) -> None:
    """No check sees a fault in what is there."""
    assert list(_faults(Word("p.md:1", "p.md", text))) == []
