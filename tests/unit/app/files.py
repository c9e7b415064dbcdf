"""Configuration files for tests."""

from controller.app.config import Config
from controller.app.load import parse
from controller.core.errors import ConfigError

MINIMAL = """\
prometheus:
  url: http://prometheus:9090
pools:
  - name: llm
    selector: job="vllm"
    backends:
      - address: 10.0.0.1:8000
      - address: 10.0.0.2:8000
nginx:
  mode: local
"""
# Where the only pool ends, so that a test can add to it.
AFTER_POOL = "nginx:\n"


def with_pool(more: str) -> str:
    """The minimal file with more lines in its pool, on line 9 and on."""
    indented = "".join(f"    {line}\n" for line in more.splitlines())
    return MINIMAL.replace(AFTER_POOL, indented + AFTER_POOL)


def with_section(more: str) -> str:
    """The minimal file with more at its end, on line 11 and on."""
    return MINIMAL + more + "\n"


def read(text: str) -> Config:
    """Check the text of a file called lb.yaml."""
    return parse(text, "lb.yaml")


def faults(text: str) -> list[str]:
    """All faults of a text, without the name of the file; empty when it is fine."""
    try:
        read(text)
    except ConfigError as error:
        found = error.faults
    else:
        return []
    assert all(fault.startswith("lb.yaml:") for fault in found)
    return [fault.removeprefix("lb.yaml:") for fault in found]
