"""Clients get errors."""

import contextlib
import os
import signal
import subprocess

from lab.nginx import seed_text
from lab.processes import await_true
from tests.integration.troubles.place import (
    BACKENDS,
    ROOT,
    SOON_S,
    Trouble,
    fetched,
)


def nothing_seeded(at: Trouble) -> str:
    """Nginx in a container starts on an empty volume, with no backends named."""
    shared = at.directory / "shared"
    log = at.directory / "hook.log"
    conf = at.directory / "nginx.conf"
    conf.write_text(
        f"pid {at.directory}/pid; events {{}} http {{ include {shared}/live/upstream.conf; }}"
    )
    settings = {
        "LB_SHARED_DIR": str(shared),
        "LB_NGINX_CONF": str(conf),
        "LB_SCRIPTS": str(ROOT / "deploy" / "nginx"),
    }
    with log.open("w") as output:
        hook = subprocess.Popen(
            ["sh", ROOT / "deploy" / "nginx" / "40-vllm-nginx-lb.sh"],
            env={**os.environ, **settings},
            stderr=output,
            start_new_session=True,
        )
    try:
        assert hook.wait(20) == 0
        await_true(lambda: "watcher: serves" in log.read_text(), SOON_S, "the watcher runs")
    finally:
        # The watcher goes on after the hook, as it is meant to.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(hook.pid, signal.SIGKILL)
    return log.read_text().replace(str(shared), "/var/lib/vllm-nginx-lb")


def no_server_answers(at: Trouble) -> str:
    """Every server of the pool refuses connections, first seen and then known."""
    dead = ("127.0.0.1:9", "127.0.0.1:19")
    with at.own_nginx(seed_text("llm", dead)) as there:
        front = there.site.nginx
        answers = [fetched(f"{front.url}/v1/models") for _ in range(8)]
        log = there.as_on_the_page(front.error_log.read_text())
    for here, on_the_page in zip(dead, BACKENDS, strict=False):
        log = log.replace(here, on_the_page)
    return "\n".join(f"{status}\n{body}" for status, body in answers) + log
