"""The commands. Each prints for people, or JSON with --json; exit codes are in `Exit`."""

import contextlib
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from enum import IntEnum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from controller.app import tables
from controller.app.environment import DEFAULT_FILE, Found, find
from controller.core.errors import ActuationError, ConfigError, ControllerError

DEFAULT_URL = "http://127.0.0.1:9808"
_DISTRIBUTION = "vllm-nginx-lb"


class Exit(IntEnum):
    """Exit codes."""

    OK = 0
    """Done; for `once` and `check`: and everything is as it should be."""
    FAILED = 1
    """A fault of our own or of the host, such as a port that is taken, or no such backend."""
    CONFIG = 2
    """The configuration or the command line cannot be used."""
    PROMETHEUS = 3
    """Prometheus could not be asked, or its answer cannot be used."""
    NGINX = 4
    """Nginx does not serve the wanted file."""
    CONTROLLER = 5
    """The running controller does not answer."""


_CODES = {
    "configuration": Exit.CONFIG,
    "prometheus": Exit.PROMETHEUS,
    "nginx": Exit.NGINX,
}

app = typer.Typer(
    help="Keeps the upstream weights of Nginx true to what each LLM backend can carry.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration file.",
        envvar="VLLM_NGINX_LB_CONFIG",
        show_default=f"{DEFAULT_FILE}, else the environment variables",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UrlOption = Annotated[
    str,
    typer.Option("--url", help="Where the running controller listens.", envvar="VLLM_NGINX_LB_URL"),
]


def _configuration(path: Path | None) -> Found:
    try:
        return find(path, os.environ)
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(fault, err=True)
        raise typer.Exit(Exit.CONFIG) from None


def _fail(error: ControllerError, code: Exit) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(code) from None


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        typer.echo(installed_version(_DISTRIBUTION))
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the controller until it is told to stop."""
    from controller.app import log, service, telemetry, wiring  # noqa: PLC0415 - for a fast start
    from controller.app.api import ListenError  # noqa: PLC0415 - the same

    found = _configuration(config)
    settings = found.config
    telemetry.leave_out_creation_times()
    log.configure(settings.telemetry.log_level, settings.telemetry.log_format)
    log.configured(found.source, found.hints)
    parts = wiring.build(settings)
    try:
        with parts.lock:
            service.Service(parts, installed_version(_DISTRIBUTION)).run()
    except (ListenError, ActuationError) as error:
        # After the first event all that is written is an event.
        log.not_started(error)
        code = Exit.NGINX if isinstance(error, ActuationError) else Exit.FAILED
        raise typer.Exit(code) from None
    finally:
        parts.close()


@app.command()
def once(
    config: ConfigOption = None,
    dry_run: Annotated[  # noqa: FBT002 - a command-line switch
        bool, typer.Option("--dry-run", help="Decide, but touch nothing.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line switch
) -> None:
    """Run one tick and say what it did and why."""
    from controller.app import wiring  # noqa: PLC0415 - other commands start faster
    from controller.app.loop import Loop, Result  # noqa: PLC0415
    from controller.app.status import status as describe  # noqa: PLC0415

    parts = wiring.build(_configuration(config).config, dry_run=dry_run)
    memory, _ = parts.memory()
    loop = Loop(parts.wiring, memory)
    try:
        with contextlib.nullcontext() if dry_run else parts.lock:
            tick = loop.tick()
    except ActuationError as error:
        _fail(error, Exit.NGINX)
    finally:
        parts.close()
    _print(describe(tick), tables.status_view, as_json=as_json)
    if parts.store is not None and not dry_run:
        try:
            parts.store.save(loop.memory)
        except OSError as error:
            typer.echo(f"state.file: {parts.store.path}: {error.strerror}", err=True)
            raise typer.Exit(Exit.CONFIG) from None
    if tick.snapshot.error is not None:
        raise typer.Exit(Exit.PROMETHEUS)
    if tick.result == Result.FAILED or tick.nginx.generation is None:
        raise typer.Exit(Exit.NGINX)


@app.command()
def check(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line switch
) -> None:
    """Validate the configuration, try Prometheus and Nginx, and say what each pool would see."""
    from controller.adapters.prometheus.findings import Severity  # noqa: PLC0415 - as below
    from controller.app import doctor  # noqa: PLC0415 - other commands start faster
    from controller.app.status import status as describe  # noqa: PLC0415

    found = _configuration(config)
    report = doctor.examine(found.config)
    about = doctor.Subject.CONFIGURATION
    rows = [
        (Severity.OK, about, f"read from {found.source}."),
        *((Severity.WARNING, about, hint) for hint in found.hints),
        *((each.severity, each.subject, each.sentence) for each in report.findings),
    ]
    described = describe(report.tick)
    if as_json:
        keys = ("severity", "subject", "sentence")
        findings = [dict(zip(keys, row, strict=True)) for row in rows]
        typer.echo(json.dumps({"findings": findings, "would": described}, indent=2))
    else:
        tables.console().print(tables.findings_table(rows), tables.status_view(described))
    for subject, code in _CODES.items():
        if report.failing(doctor.Subject(subject)):
            raise typer.Exit(code)


@app.command()
def init(config: ConfigOption = None) -> None:
    """Write the upstream file with equal weights where none exists, so that Nginx can start."""
    from controller.app import seed  # noqa: PLC0415 - other commands start faster

    try:
        typer.echo(seed.write(_configuration(config).config))
    except OSError as error:
        typer.echo(f"nginx.directory: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(Exit.NGINX) from None
    except ActuationError as error:
        _fail(error, Exit.NGINX)


@app.command(name="config")
def show_config(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line switch
) -> None:
    """Print the configuration with all defaults, as the controller understands it."""
    from controller.app import effective  # noqa: PLC0415 - other commands start faster

    values = effective.values(_configuration(config).config)
    typer.echo(json.dumps(values, indent=2) if as_json else effective.text(values), nl=as_json)


@app.command()
def status(
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line switch
) -> None:
    """Show what the running controller sees and does."""
    found = _ask(url, "/api/v1/status")
    _print(found, tables.status_view, as_json=as_json)
    if not as_json:
        typer.echo(f"\nThis was the state {time.time() - found['at']:.0f} s ago.")


@app.command()
def explain(
    backend: Annotated[str, typer.Argument(help="Its address, host:port.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line switch
) -> None:
    """Say why a backend has the weight it has, with every signal behind it."""
    found = _ask(url, f"/api/v1/backends/{urllib.parse.quote(backend, safe='')}")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for each in found:
        tables.console().print(tables.backend_view(each))


def _ask(url: str, path: str) -> Any:  # noqa: ANN401 - JSON
    if not url.startswith(("http://", "https://")):
        typer.echo(f"--url: {url!r}: expected an address such as {DEFAULT_URL}", err=True)
        raise typer.Exit(Exit.CONFIG)
    try:
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=5) as answer:  # noqa: S310 - the scheme was checked
            return json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            message = json.load(error)["error"]
        except (ValueError, KeyError, TypeError):
            message = f"HTTP {error.code}"
        typer.echo(f"{url}: {message}", err=True)
        raise typer.Exit(Exit.FAILED) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        typer.echo(f"{url}: the controller does not answer: {reason}", err=True)
        raise typer.Exit(Exit.CONTROLLER) from None


def _print(value: dict[str, Any], view: Callable[[Any], Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(value, indent=2))
    else:
        tables.console().print(view(value))


def main() -> None:
    """Run the command line."""
    try:
        app()
    except BrokenPipeError:
        # Whoever read the output has seen enough, as with `| head`.
        sys.stderr.close()
        sys.exit(Exit.OK)
