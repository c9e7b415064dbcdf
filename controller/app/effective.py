"""The configuration as the controller understands it: every key, defaults included."""

from typing import Any

import yaml

from controller.app.config import Config
from controller.app.environment import TENANT

# A tenant is told to people in every query log; any other header may be a key of the API.
_SHOWN_HEADERS = frozenset({TENANT.lower()})
HIDDEN = "(not shown)"


def values(config: Config) -> dict[str, Any]:
    """All keys that have a value, in the order of the reference; no value that may be a secret."""
    # With its own serializer a duration is written with its unit, as in the file.
    found: dict[str, Any] = config.model_dump(mode="json", exclude_none=True)
    headers = found["prometheus"]["headers"]
    for name in headers:
        if name.lower() not in _SHOWN_HEADERS:
            headers[name] = HIDDEN
    # The address of Prometheus has no query.
    address, mark, _ = found["nginx"]["confirm_url"].partition("?")
    if mark:
        found["nginx"]["confirm_url"] = f"{address}?{HIDDEN}"
    return found


def text(found: dict[str, Any]) -> str:
    """The values as a file that can be read again."""
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=100)
