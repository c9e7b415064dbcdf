"""amtool, asked about what deploy/alertmanager/render.sh writes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def need_alertmanager() -> None:
    """Skip, or fail where nobody would notice, when Debian's prometheus-alertmanager is missing."""
    missing = [name for name in ("amtool", "prometheus-alertmanager") if shutil.which(name) is None]
    if not missing:
        return
    reason = f"not on the PATH: {', '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def amtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run amtool and return what it said; its exit code is for the caller to judge."""
    return subprocess.run(
        ["amtool", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def expanded(directory: Path, name: str, data: Path, kind: str = "text") -> str:
    """What a template of the directory makes of a notification's data."""
    done = amtool(
        "template",
        "render",
        f"--template.glob={directory / 'templates' / '*.tmpl'}",
        f'--template.text={{{{ template "{name}" . }}}}',
        f"--template.type={kind}",
        f"--template.data={data}",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
