"""Volumes and containers do not fit together."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.integration.troubles.place import (
    COMMAND_AS,
    CONTAINER_USER,
    Trouble,
)


def no_watcher(at: Trouble) -> str:
    """Nobody takes up requests on the shared volume."""
    return at.check(way=at.site.shared_way())


def _volume(at: Trouble) -> tuple[Path, str]:
    """A shared volume whose directories belong to root, and the way to it."""
    volume = at.directory / "volume"
    for name in ("req", "ack", "live"):
        (volume / name).mkdir(parents=True)
    url = at.site.nginx.generation_url
    return volume, f"\n  mode: shared_volume\n  directory: {volume}\n  confirm_url: {url}\n"


def not_permitted(at: Trouble) -> str:
    """The volume belongs to another user than the controller's."""
    command = (sys.executable, "-c", COMMAND_AS, str(CONTAINER_USER))
    # That user may not enter the private directory of a test.
    with tempfile.TemporaryDirectory() as name:
        public = replace(at, directory=Path(name))
        public.directory.chmod(0o755)
        _, way = _volume(public)
        return public.ask("run", way=way, command=command).replace("/volume/", "/")


def read_only(at: Trouble) -> str:
    """The directory of requests is mounted read-only."""
    volume, way = _volume(at)
    req = volume / "req"
    mount = f'mount --bind {req} {req} && mount -o remount,ro,bind {req} && exec "$@"'
    said = at.ask("run", way=way, under=("unshare", "-m", "sh", "-c", mount, "sh"))
    return said.replace("/volume/", "/")


def single_file_mounted(at: Trouble) -> str:
    """The upstream file itself is mounted, and not its directory."""
    live = at.site.nginx.upstream_file
    mount = f'mount --bind {live} {live} && exec "$@"'
    return at.check(under=("unshare", "-m", "sh", "-c", mount, "sh"))
