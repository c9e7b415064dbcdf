"""The three ways to route, and the upstream files of the two that are written by hand."""

from collections.abc import Sequence
from enum import StrEnum

from lab.nginx import seed_text

POOL = "llm"


class Router(StrEnum):
    """Who chooses the backend of a request; in the order of the demo."""

    ROUND_ROBIN = "round_robin"
    LEAST_CONN = "least_conn"
    CONTROLLER = "controller"

    @property
    def spoken(self) -> str:
        """Its name for people."""
        return "round robin" if self is Router.ROUND_ROBIN else self.value


def upstream_text(router: Router, addresses: Sequence[str]) -> str:
    """The upstream file with equal weights that a router starts with.

    They differ in nothing but the line `least_conn`, so that only the routing is compared. The
    controller starts with the file of least_conn.
    """
    text = seed_text(POOL, tuple(addresses))
    if router is not Router.ROUND_ROBIN:
        return text
    return text.replace("    least_conn;\n", "").replace(
        f'default "{generation_of(text)}"', f'default "{router}"'
    )


def generation_of(text: str) -> str:
    """The generation that an upstream file makes Nginx answer with."""
    return text.partition('default "')[2].partition('"')[0]
