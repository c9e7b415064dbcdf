"""Structured logs: JSON off a terminal, readable on one, our own events and those of libraries."""

import logging
import logging.config
import sys
from collections.abc import Iterable
from typing import Any

import structlog

from controller.app.loop import TickRecord
from controller.core.model import Server
from controller.core.reasons import BackendReason

# One event must stay readable and cheap in a pool of a thousand; the status has every backend.
MOST_BACKENDS = 20


def configure(level: str, style: str) -> None:
    """Send all logs to standard error.

    Args:
        level: debug, info, warning or error.
        style: json, console, or auto for console on a terminal.
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Any] = (
        [structlog.dev.ConsoleRenderer()]
        if console
        else [
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(allow_nan=False),
        ]
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structlog": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *renderer,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            # What the scheduler says of each run, the tick's own events say better.
            "loggers": {"apscheduler": {"level": "CRITICAL"}, "urllib3": {"level": "WARNING"}},
        }
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def configured(source: str, hints: Iterable[str]) -> None:
    """Say where the configuration was found, and what looks wrong about that."""
    log = structlog.get_logger("vllm_nginx_lb")
    log.info("configured", source=source)
    for hint in hints:
        log.warning("configuration", detail=hint)


def not_started(error: Exception) -> None:
    """Say why the controller ends before its first tick."""
    structlog.get_logger("vllm_nginx_lb").error("not started", error=str(error))


def tick_event(tick: TickRecord) -> dict[str, Any]:
    """The one event of a tick: decision, reasons, ages, generation."""
    decision = tick.decision
    event: dict[str, Any] = {
        "result": tick.result,
        "reason": decision.reason,
        "detail": decision.detail,
        "generation": decision.rendered.generation,
        "served": tick.served,
        "duration_s": round(tick.duration_s, 3),
        "pools": {name: _pool_event(tick, name) for name in sorted(decision.pools)},
    }
    if tick.apply_s is not None:
        event["apply_s"] = round(tick.apply_s, 3)
    if tick.nginx.lingering_workers:
        event["lingering_workers"] = tick.nginx.lingering_workers
    if tick.error is not None:
        event |= {"fault": tick.error.fault, "error": str(tick.error)}
    if tick.nginx.detail:
        event["nginx_detail"] = tick.nginx.detail
    if tick.snapshot.error is not None:
        event["prometheus_error"] = str(tick.snapshot.error)
    return event


def _line(server: Server | None) -> dict[str, Any]:
    """A server line in short: what is usual is left out."""
    line: dict[str, Any] = {"weight": server.weight if server else None}
    if server and server.down:
        line["down"] = True
    if server and server.max_conns is not None:
        line["max_conns"] = server.max_conns
    return line


def _pool_event(tick: TickRecord, name: str) -> dict[str, Any]:
    pool = tick.decision.pools[name]
    seen = tick.snapshot.pools.get(name)
    observations = seen.observations if seen else {}
    ages = [each.age_s for each in observations.values() if each.age_s is not None]
    servers = {server.address: server for server in pool.target.servers}
    # With more backends than fit, those with something to tell come first.
    told = sorted(
        pool.target.reasons.items(), key=lambda item: (item[1][0] == BackendReason.POLICY, item[0])
    )
    backends = {
        address: {**_line(servers.get(address)), "reason": why, "detail": detail}
        for address, (why, detail) in told[:MOST_BACKENDS]
    }
    event: dict[str, Any] = {
        "reason": pool.reason,
        "usable": pool.usable,
        "members": len(told),
        "backends": backends,
    }
    if len(told) > MOST_BACKENDS:
        event["not_shown"] = len(told) - MOST_BACKENDS
    if ages:
        event["oldest_sample_s"] = round(max(ages), 1)
    return event
