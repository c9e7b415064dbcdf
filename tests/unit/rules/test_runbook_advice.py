"""What the runbook tells a person to do can be done."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from controller.app.config import BackendConfig, ControlConfig
from controller.core.model import Server
from controller.core.render import Upstream, render
from scripts.check_docs import ROOT

RUNBOOK = ROOT / "docs" / "runbook"
PAGES = sorted(path for path in RUNBOOK.glob("*.md") if path.name != "README.md")
SECTION = "README.md#taking-a-backend-out"
# A person reads an order in them; whoever is told what to type needs no link.
ORDER = re.compile(r"\bdrain (it|them)\b|\btak(?:e|ing) (it|them) out\b", re.IGNORECASE)
LINK = re.compile(r"\[[^\]]*\]\(([^)]+)\)")
# Pages of backends that may have to go at once.
URGENT = {"BackendErrorRatio", "BackendStalled", "BlackHole", "PoolPanic", "TtftBurnFast"}


def section() -> str:
    """How a backend is taken out."""
    _, _, text = (RUNBOOK / "README.md").read_text().partition("## Taking a backend out\n")
    return text.partition("\n## ")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_an_order_to_take_a_backend_out_leads_to_how(page: Path) -> None:
    """It depends on the pool, so that "drain it" alone is no advice."""
    lines = [line for line in page.read_text().splitlines() if ORDER.search(line)]
    assert [line for line in lines if SECTION not in LINK.findall(line)] == []
    assert lines or page.stem not in URGENT


def test_how_a_backend_is_taken_out_names_settings_that_exist() -> None:
    """The switch, and the time until a target that has gone leaves, are those of the program."""
    text = section()
    assert "`drain: true`" in text
    assert BackendConfig.model_fields["drain"].default is False
    assert f"`control.forget_after` ({ControlConfig().forget_after:g} s)" in text


def test_the_page_about_drift_shows_the_generation_of_the_file(tmp_path: Path) -> None:
    """Its grep prints the generation of a file as the controller writes it, not only its name."""
    page = (RUNBOOK / "ConfigDrift.md").read_text()
    (command,) = re.findall(r"^(grep .*) \S+/upstream\.conf$", page, re.MULTILINE)
    rendered = render([Upstream("llm", [Server("10.0.0.1:8000", weight=7)])])
    file = tmp_path / "upstream.conf"
    file.write_text(rendered.text)
    said = subprocess.run(
        [*shlex.split(command), str(file)], capture_output=True, text=True, check=True
    ).stdout
    assert f'"{rendered.generation}"' in said
    assert len(said.splitlines()) == 2
