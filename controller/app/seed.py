"""The first upstream file, so that an Nginx that includes it can start before the controller."""

import time

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

    Discovered pools get a placeholder that answers 502 until the first tick.

    Returns:
        What was done, in a sentence.
    """
    directory = config.nginx.directory
    if not isinstance(config.nginx, LocalNginxConfig):
        return (
            "nothing was written: over a shared volume the hook beside Nginx writes the first file"
        )
    file = directory / "upstream.conf"
    if file.exists():
        return f"{file} exists already; nothing was written"
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
