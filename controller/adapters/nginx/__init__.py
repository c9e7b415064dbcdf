"""The two ways to Nginx: on the same host, and over a shared volume with a watcher beside it."""

from controller.adapters.nginx.local import LocalNginx, LocalSettings
from controller.adapters.nginx.lock import DirectoryLock
from controller.adapters.nginx.probe import Endpoint
from controller.adapters.nginx.shared import SharedSettings, SharedVolumeNginx

__all__ = [
    "DirectoryLock",
    "Endpoint",
    "LocalNginx",
    "LocalSettings",
    "SharedSettings",
    "SharedVolumeNginx",
]
