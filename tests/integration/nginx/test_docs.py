"""What docs/nginx.md tells a stranger to type leads to an Nginx that the controller can use."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="private mounts and networks need root"),
]
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "nginx.md"
# What the page writes to is a copy or empty here; Nginx ends with the namespace of processes.
PRIVATE = """
set -eu
cp -r /etc "$1/etc"
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /var
mount -t tmpfs tmpfs /run
mkdir -p /var/lib /var/log/nginx /etc/vllm-nginx-lb
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))'
cp "$1/config.yaml" /etc/vllm-nginx-lb/config.yaml
"""


def block_of(kind: str) -> str:
    """The only block of this language within the way of the same host."""
    section = PAGE.read_text().partition("### The same host\n")[2].partition("\n### ")[0]
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(block)


def test_local_way_as_it_is_written(tmp_path: Path) -> None:
    """Line by line, the page ends with a check that has nothing against Nginx."""
    (tmp_path / "config.yaml").write_text(block_of("yaml"))
    commands = block_of("sh")
    for written, here in (
        ("systemctl restart nginx", "nginx"),  # no systemd in a container of tests
        ("vllm-nginx-lb check", f"vllm-nginx-lb check --json >{tmp_path}/found.json || :"),
        ("vllm-nginx-lb run\n", ""),
    ):
        assert commands.count(written) == 1
        commands = commands.replace(written, here)
    done = subprocess.run(
        ["unshare", "-mnpf", "--mount-proc", "sh", "-c", PRIVATE + commands, "sh", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    findings = json.loads((tmp_path / "found.json").read_text())["findings"]
    found = [each["sentence"] for each in findings if each["subject"] == "nginx"]
    assert any(sentence.startswith("serves generation") for sentence in found), found
    # Prometheus is none of this page's business, and there is none here.
    assert not [
        each
        for each in findings
        if each["severity"] == "error" and not each["subject"].startswith("prometheus")
    ]
