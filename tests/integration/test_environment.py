"""The real controller, configured by environment variables alone."""

import json
import sys
from pathlib import Path

import pytest

from controller.app.environment import DEFAULT_FILE, SWITCH, VARIABLES
from lab.processes import child, free_port

pytestmark = pytest.mark.integration


@pytest.mark.skipif(DEFAULT_FILE.exists(), reason=f"{DEFAULT_FILE} exists here, and wins")
def test_the_controller_starts_without_a_file(tmp_path: Path) -> None:
    """`run` starts, and logs where its configuration came from and what looks like a slip."""
    (tmp_path / "req").mkdir()
    env = {each.name: "" for each in VARIABLES} | {
        SWITCH: "http://127.0.0.1:9",
        "LB_SHARED_DIR": str(tmp_path),
        "LB_TELEMETRY_LISTEN": f"127.0.0.1:{free_port()}",
        "LB_BACKEND": "a:1",
        "VLLM_NGINX_LB_CONFIG": "",
    }
    log = tmp_path / "log"
    with child([sys.executable, "-m", "controller", "run"], log, env=env) as running:
        running.await_ready(lambda: '"started"' in log.read_text())
    first, second, *_ = map(json.loads, log.read_text().splitlines())
    assert first["event"] == "configured"
    assert first["source"] == (
        "the environment (LB_PROMETHEUS_URL, LB_SHARED_DIR, LB_TELEMETRY_LISTEN)"
    )
    assert second["level"] == "warning"
    assert second["detail"] == "LB_BACKEND is not read: was LB_BACKENDS meant?"
