"""amtool, asked about what deploy/alertmanager/render.sh writes."""

import subprocess
from pathlib import Path


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
