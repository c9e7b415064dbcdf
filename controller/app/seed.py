"""The first upstream file, so that an Nginx that includes it can start before the controller."""

import os
import time
from pathlib import Path

from controller.adapters.nginx import files
from controller.adapters.resolver import SystemResolver
from controller.app.config import Config, LocalNginxConfig
from controller.app.wiring import spec_of
from controller.core.decide import names_of
from controller.core.model import Server
from controller.core.render import Upstream, render

# Nginx reads it as root or as another user; nothing in it is secret.
FILE_MODE = 0o644


def write(config: Config) -> str:
    """Write equal weights for the configured backends where no upstream file exists.

    Discovered pools get a placeholder that answers 502 until the first tick. Over a shared volume
    only whoever may write the directory that Nginx includes does so: an administrator on the host
    of both, not a controller in a container of its own.

    Returns:
        What was done, in a sentence.
    """
    directory = _included(config)
    file = directory / "upstream.conf"
    if file.exists():
        return f"{file} exists already; nothing was written"
    if not isinstance(config.nginx, LocalNginxConfig) and not os.access(directory, os.W_OK):
        return (
            f"nothing was written: user {os.geteuid()} cannot write to {directory}; the hook beside"
            " Nginx writes the first file, or root where both are on one host"
        )
    specs = [spec_of(pool) for pool in config.pools]
    addresses = [address for spec in specs for address in spec.backends or ()]
    resolver = SystemResolver(time.monotonic)
    endpoints = resolver.resolve(names_of(addresses))
    resolver.close()
    usable = set(addresses) - set(names_of(addresses)) | endpoints.keys()
    rendered = render(
        [
            Upstream(
                spec.name,
                [Server(a, down=a in spec.drained) for a in spec.backends or () if a in usable],
                spec.options,
            )
            for spec in specs
        ],
        endpoints,
    )
    directory.mkdir(parents=True, exist_ok=True)
    files.put(files.stage(directory, file.name, rendered.text.encode(), FILE_MODE), file)
    return f"{file} written with generation {rendered.generation}"


def _included(config: Config) -> Path:
    """The directory that Nginx includes the upstream file from."""
    nginx = config.nginx
    return nginx.directory if isinstance(nginx, LocalNginxConfig) else nginx.directory / "live"
