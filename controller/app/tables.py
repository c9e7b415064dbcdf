"""Tables for people: the status, one backend, the findings of a check."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

_BAD = ("ejected", "drained", "unresolved", "failed", "blind", "panic", "quarantined")


def status_view(status: Mapping[str, Any]) -> Group:
    """The whole status: what was decided, and each pool with its backends."""
    generation = status["generation"]
    head = Text.assemble(
        (f"{status['result']}", _colour(status["result"])),
        f": {status['reason']}",
        f" ({status['detail']})" if status["detail"] else "",
        f"\ngeneration served {generation['served']}, applied {generation['applied']}",
        f", desired {generation['desired']}",
    )
    notes = [
        Text(note, style="red")
        for note in (
            status["error"],
            status["prometheus"]["error"],
            *status["prometheus"]["warnings"],
            status["nginx"]["detail"],
        )
        if note
    ]
    return Group(head, *notes, *(pool_table(pool) for pool in status["pools"]))


def pool_table(pool: Mapping[str, Any]) -> Table:
    """One pool, one backend per line."""
    title = f"{pool['name']}: {pool['reason']}"
    if pool["detail"]:
        title += f" ({pool['detail']})"
    # Names and addresses are Text: a plain string is markup, which eats an IPv6 address.
    table = Table(title=Text(title), title_justify="left", title_style="bold", pad_edge=False)
    for column in ("backend", "applied", "desired", "running", "waiting", "KV", "age"):
        table.add_column(column, justify="left" if column == "backend" else "right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for backend in pool["backends"]:
        signals = backend["signals"]
        table.add_row(
            Text(backend["address"]),
            _line(backend, "applied"),
            _line(backend, "desired"),
            _number(signals.get("running"), "{:.0f}"),
            _number(signals.get("waiting"), "{:.0f}"),
            _number(signals.get("kv_usage"), "{:.0%}"),
            _number(backend["age_s"], "{:.0f} s"),
            Text.assemble(
                (backend["reason"], _colour(backend["reason"])),
                f": {backend['detail']}" if backend["detail"] else "",
            ),
        )
    return table


def backend_view(backend: Mapping[str, Any]) -> Group:
    """One backend: the weight, why, and every signal it follows from."""
    table = Table(pad_edge=False)
    table.add_column("signal")
    table.add_column("value", justify="right")
    for name, value in backend["signals"].items():
        table.add_row(name, f"{value:.6g}")
    for name, fault in backend["faults"].items():
        table.add_row(name, Text(fault, style="red"))
    applied = _line(backend, "applied")
    desired = _line(backend, "desired")
    age = _number(backend["age_s"], "{:.1f} s")
    up = {True: "succeeded", False: "failed", None: "unknown"}[backend["up"]]
    return Group(
        Text.assemble((backend["address"], "bold"), f" in pool {backend['pool']}"),
        Text(f"weight applied {applied}, desired {desired}"),
        Text.assemble(
            "because ", (backend["reason"], _colour(backend["reason"])), f": {backend['detail']}"
        ),
        Text(f"last scrape {up}, oldest sample {age}"),
        table,
    )


def findings_table(findings: Iterable[tuple[str, str, str]]) -> Table:
    """Findings of a check: severity, subject, sentence."""
    table = Table(pad_edge=False)
    for column in ("", "what", "found"):
        table.add_column(column, overflow="fold")
    colours = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
    for severity, subject, sentence in findings:
        mark = Text(severity, style=colours.get(severity, ""))
        table.add_row(mark, Text(subject), Text(sentence))
    return table


def console(*, stderr: bool = False) -> Console:
    """A console that is as wide as it needs to be where nobody looks: in files and pipes."""
    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=160, soft_wrap=False)


def _line(backend: Mapping[str, Any], which: str) -> str:
    """A server line in short: its weight, and its limit where it has one."""
    weight, limit = backend[f"weight_{which}"], backend[f"max_conns_{which}"]
    if weight is None:
        return "-"
    if backend[f"down_{which}"]:
        return "down"
    return f"{weight} (most {limit})" if limit is not None else str(weight)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _colour(word: str) -> str:
    if any(bad in word for bad in _BAD):
        return "red"
    return "yellow" if word.startswith(("held", "unseen", "neutral")) else "green"
