"""What docs/nginx-metrics.md says is so."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.mtail import PROGRAM, one_shot_page
from tests.integration.nginx.test_access_log_lines import line, read

pytestmark = pytest.mark.integration
PAGE = PROGRAM.parents[2] / "docs" / "nginx-metrics.md"


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_metrics_have_good_names(tmp_path: Path) -> None:
    """Prometheus' own check has nothing against the page that mtail shows."""
    log = tmp_path / "access.log"
    log.write_text(f"{line()}\n")
    shown = one_shot_page(log)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=shown, check=False, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_page_names_each_metric(tmp_path: Path) -> None:
    """The table of the page has the metrics of the program with their labels, and no other."""
    rows = re.findall(r"^\| `(nginx_lb_\w+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    samples = read(tmp_path, line())
    families = {
        re.sub(r"_(bucket|sum|count)$", "", s.name): set(s.labels) - {"le"} for s in samples.all
    }
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == families


def test_scrape_configurations_of_the_page(tmp_path: Path) -> None:
    """Prometheus takes the page's example, whose jobs have the names that everything here uses."""
    (text,) = blocks("yaml")
    jobs = [job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]]
    assert jobs == ["nginx-log", "nginx"]
    conf = tmp_path / "prometheus.yml"
    conf.write_text(text)
    subprocess.run(["promtool", "check", "config", conf], check=True, capture_output=True)
