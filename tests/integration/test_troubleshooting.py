"""docs/troubleshooting.md quotes what is really said when the thing it is about happens."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.check_docs import ROOT
from tests.integration.plant import Plant, plant
from tests.integration.troubles import clients, containers, controller, prometheus, weights
from tests.integration.troubles.place import BACKENDS, Trouble

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SECTION = re.compile(r"^### (.+)\n((?:(?!##).*\n)*)", re.MULTILINE)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Cause = Callable[[Trouble], str]
CAUSES: dict[str, tuple[Cause, ...]] = {
    "All requests get 502": (clients.no_server_answers, clients.nothing_seeded),
    "503 with the code `overloaded`": (clients.no_server_answers,),
    "Weights stay equal": (weights.nothing_learned, weights.signal_missing),
    "Weights never change": (weights.within_the_dead_band, weights.too_soon),
    "BackendIgnored: a server gets no requests": (weights.backend_not_configured,),
    "The status shows `panic`": (weights.panic,),
    "The check says that there are no series": (prometheus.wrong_selector,),
    "Metrics are called `vllm_` instead of `vllm:`": (prometheus.lost_colon,),
    "Prometheus cannot be asked": (prometheus.prometheus_gone, prometheus.prometheus_wants_a_token),
    "Scrapes fail": (prometheus.scrape_fails,),
    "It does not start: the configuration": (
        controller.configuration_faults,
        controller.nothing_configured,
    ),
    "The controller does not answer": (controller.controller_gone,),
    "`/readyz` is 503": (controller.not_ready,),
    "Nginx does not include the upstream file": (controller.include_missing,),
    "There is no upstream file yet": (controller.no_upstream_file,),
    "A reload is not confirmed": (controller.reload_fails,),
    "Another controller keeps the directory": (controller.two_controllers,),
    "Permission denied on `req`": (containers.not_permitted,),
    "Read-only file system": (containers.read_only,),
    "No watcher, or a silent one": (containers.no_watcher,),
    "A bind-mounted single file": (containers.single_file_mounted,),
}
# They take other users and private mounts.
NEED_ROOT: set[Cause] = {
    containers.not_permitted,
    containers.read_only,
    containers.single_file_mounted,
    controller.nothing_configured,
}
# What differs from one run to the next.
VARYING = (
    (r"\b[0-9a-f]{16}\b", "GENERATION"),
    (r"pid \d+", "pid N"),
    (r"user \d+", "user N"),
    (r"\d+#\d+", "N#N"),
    (r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"\b[\d.]+ s\b", "N s"),
)


def plain(text: str) -> str:
    """A text without frames and without what differs from one run to the next."""
    text = " ".join(re.sub(r"[│┃┏┓┗┛└┘┡┩━─┳┴┻╇]", " ", text).split())
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


def quoted(section: str) -> list[str]:
    """The lines of output that a section shows."""
    lines = [line for block in BLOCK.findall(section) for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("$ ")]


SECTIONS = dict(SECTION.findall(PAGE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One plant for all troubles: each leaves it as it was."""
    with plant(tmp_path_factory.mktemp("plant"), *BACKENDS) as running:
        yield running


def test_output_on_the_page_is_caused_by_a_test() -> None:
    """Each section that shows output has its trouble below, and no trouble is without a section."""
    assert {title for title, text in SECTIONS.items() if quoted(text)} == CAUSES.keys()


@pytest.mark.parametrize("title", CAUSES)
def test_what_the_page_shows_is_what_is_said(title: str, site: Plant, tmp_path: Path) -> None:
    """Each line of output of a section is said when its trouble is there."""
    if os.geteuid() != 0 and set(CAUSES[title]) & NEED_ROOT:
        pytest.skip("other users and private mounts need root")
    said = []
    for number, cause in enumerate(CAUSES[title]):
        directory = tmp_path / str(number)
        directory.mkdir()
        said.append(plain(cause(Trouble(site, directory))))
    missing = [line for line in quoted(SECTIONS[title]) if plain(line) not in " ".join(said)]
    assert missing == [], "\n".join(said)
