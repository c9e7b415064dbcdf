"""The first upstream file on a host where controller and Nginx share the directories."""

from pathlib import Path

from controller.app import seed
from controller.app.config import Config
from controller.app.load import parse
from controller.core.render import parse as parse_rendered

EXAMPLE = Path(__file__).parents[3] / "deploy" / "examples" / "plain-host.yaml"


def configured(directory: Path) -> Config:
    """The example of a plain host, with another directory."""
    return parse(EXAMPLE.read_text().replace("/var/lib/vllm-nginx-lb", str(directory)), "example")


def test_whoever_may_write_what_nginx_includes_writes_it(tmp_path: Path) -> None:
    """With the directory in reach, the file is written there, and is one of the controller's."""
    (tmp_path / "live").mkdir()
    said = seed.write(configured(tmp_path))
    text = (tmp_path / "live" / "upstream.conf").read_text()
    rendered = parse_rendered(text)
    assert rendered is not None
    assert said.endswith(f"written with generation {rendered.generation}")
    assert text.count(" weight=100 ") == 2
    assert "exists already" in seed.write(configured(tmp_path))
    assert (tmp_path / "live" / "upstream.conf").read_text() == text


def test_whoever_may_not_is_told_who_does(tmp_path: Path) -> None:
    """Out of reach, as in a container beside Nginx, nothing is written and nothing fails."""
    assert "the hook beside Nginx writes the first file" in seed.write(configured(tmp_path))
    assert list(tmp_path.iterdir()) == []
