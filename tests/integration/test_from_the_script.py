"""docs/from-the-script.md: both side by side, over, and back, without a request that fails."""

from collections.abc import Iterator

import pytest

from tests.integration.booted import Host, booted
from tests.integration.followed import (
    CONFIG,
    DOCS,
    QUICK,
    READY,
    Page,
    install_program,
    simulated,
    start_prometheus,
    typed,
    until,
)

pytestmark = pytest.mark.integration
PAGE = Page(DOCS / "from-the-script.md")
BACKENDS = ("10.0.0.11", "10.0.0.12")
ASK = "curl -sf http://127.0.0.1:8080/v1/models"
# What the script leaves, and the timer that runs it.
SCRIPT = """
cat >/etc/nginx/conf.d/llm_cluster.conf <<'END'
upstream llm_cluster {
    least_conn;
    server 10.0.0.11:8000 weight=60 max_fails=10 fail_timeout=60s;
    server 10.0.0.12:8000 weight=30 max_fails=10 fail_timeout=60s;
    keepalive 64;
}
END
sed 's|http://llm;|http://llm_cluster;|' deploy/examples/nginx-site.conf \\
    >/etc/nginx/sites-available/llm-cluster
ln -s ../sites-available/llm-cluster /etc/nginx/sites-enabled/
printf '[Service]\\nType=oneshot\\nExecStart=/bin/true\\n' \\
    >/etc/systemd/system/llm-weights.service
printf '[Timer]\\nOnUnitActiveSec=10s\\nOnActiveSec=1s\\n[Install]\\nWantedBy=timers.target\\n' \\
    >/etc/systemd/system/llm-weights.timer
systemctl daemon-reload
systemctl enable --now llm-weights.timer
systemctl start nginx
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host on which the script has worked so far, with the program installed beside it."""
    directory = tmp_path_factory.mktemp("script")
    with booted(directory) as running, simulated(running, directory, BACKENDS):
        running.run(SCRIPT)
        running.run(ASK)
        install_program(running)
        start_prometheus(running)
        yield running


def test_there_and_back(host: Host) -> None:
    """The page leads from the script to the controller and back, and requests are answered."""
    configured, dry, started, compared = PAGE.blocks("Side by side")
    typed(host, configured)
    host.run(f"sed -i '/^control:/,/^$/d' {CONFIG} && echo '{QUICK}' >>{CONFIG}")
    looked = host.run(dry)
    assert "llm: " in looked
    assert "server 10.0.0.11:8000 weight=60" in looked
    typed(host, started)
    until(host, READY)
    assert "10.0.0.14:8000" in host.run(compared)
    assert "upstream llm_cluster {" in host.run("nginx -T 2>&1")
    host.run(ASK)

    (over,) = PAGE.blocks("Switch over")
    host.run(over)
    host.run(ASK)
    assert "proxy_pass http://llm;" in host.run("nginx -T 2>&1")
    assert host.attempt("systemctl is-active llm-weights.timer").stdout == "inactive\n"

    (back,) = PAGE.blocks("Go back")
    host.run(back)
    host.run(ASK)
    assert "proxy_pass http://llm_cluster;" in host.run("nginx -T 2>&1")
    assert host.run("systemctl is-active llm-weights.timer") == "active\n"
