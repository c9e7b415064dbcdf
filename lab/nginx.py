"""A real Nginx in front of a pool, and the watcher that the shared-volume way needs."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.core.model import Server
from controller.core.render import Upstream, render
from lab.processes import Child, answers, child, fetch, free_port

DEPLOY = Path(__file__).resolve().parents[1] / "deploy" / "nginx"
# One that is not there refuses at once; one that is there answers, on a busy machine late.
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class RunningNginx:
    """An Nginx that runs the configuration of `deploy/nginx`.

    Attributes:
        url: The entry point; the OpenAI API is at `{url}/v1`.
        status_url: Its status server, with `/stub_status`.
        generation_url: Where it says which generation it serves.
        directory: Everything it reads and writes.
        conf: The top-level configuration file.
        pid_file: Where its master writes its process id.
        shared_dir: Parent of `live`, `req` and `ack`.
        upstream_dir: The directory of `upstream.conf`; `live` of the shared directory.
        error_log: Its error log, level notice.
        access_log: One JSON object per request.
        process: The master process.
    """

    url: str
    status_url: str
    generation_url: str
    directory: Path
    conf: Path
    pid_file: Path
    shared_dir: Path
    upstream_dir: Path
    error_log: Path
    access_log: Path
    process: Child

    @property
    def upstream_file(self) -> Path:
        """The file that holds the pools."""
        return self.upstream_dir / "upstream.conf"

    def generation(self) -> str | None:
        """The generation it serves now; None when it does not answer."""
        said = fetch(self.generation_url, timeout_s=ANSWER_S)
        return None if said is None else said.strip()


def seed_text(pool: str, backends: tuple[str, ...] = ()) -> str:
    """An upstream file with one pool of equal weights; without backends every request is a 502."""
    return render([Upstream(pool, [Server(address) for address in backends])]).text


@contextlib.contextmanager
def nginx(
    directory: Path, *, pool: str = "llm", upstream_text: str | None = None, **variables: str
) -> Iterator[RunningNginx]:
    """Run Nginx with the configuration of `deploy/nginx` until the context ends.

    Args:
        directory: Made if absent; also usable by a later run.
        pool: Pool behind `/v1/`.
        upstream_text: The upstream file to start with; None keeps the one that is there, or starts
            with a pool that has no backend.
        variables: Further variables of `render.sh`, such as `LB_READ_TIMEOUT="2s"`.

    Raises:
        NotReadyError: Nginx did not start; the message ends with what it said.
    """
    directory = directory.resolve()
    live = directory / "shared" / "live"
    for path in (live, live.parent / "req", live.parent / "ack", directory / "run"):
        path.mkdir(parents=True, exist_ok=True)
    upstream_file = live / "upstream.conf"
    if upstream_text is not None or not upstream_file.exists():
        upstream_file.write_text(seed_text(pool) if upstream_text is None else upstream_text)
    settings = {
        "LB_LISTEN": f"127.0.0.1:{free_port()}",
        "LB_STATUS_LISTEN": f"127.0.0.1:{free_port()}",
        "LB_UPSTREAM_FILE": str(upstream_file),
        "LB_LOCATIONS": str(directory / "locations.d" / "*.conf"),
        "LB_POOL": pool,
        "LB_RUN_DIR": str(directory / "run"),
        "LB_PID": str(directory / "nginx.pid"),
        "LB_LOG_DIR": str(directory),
        # Workers of another user could not enter a private directory of the master's user.
        "LB_USER": "root" if os.geteuid() == 0 else "",
        "LB_WORKERS": "2",
        "LB_WORKER_CONNECTIONS": "2048",
        "LB_WORKER_FILES": "4096",
        **variables,
    }
    conf = directory / "nginx.conf"
    conf.write_text(render_conf(settings))
    with _running(directory, conf, settings) as running:
        yield running


def render_conf(variables: dict[str, str]) -> str:
    """What `render.sh` makes of the variables."""
    done = subprocess.run(
        [DEPLOY / "render.sh"],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@contextlib.contextmanager
def _running(directory: Path, conf: Path, settings: dict[str, str]) -> Iterator[RunningNginx]:
    status_url = f"http://{settings['LB_STATUS_LISTEN']}"
    generation_url = f"{status_url}/lb/generation"
    listen, *options = settings["LB_LISTEN"].split()
    pid_file = Path(settings["LB_PID"])
    pid_file.unlink(missing_ok=True)

    def ready() -> bool:
        return answers(generation_url) and pid_file.exists()

    argv: list[str | Path] = ["nginx", "-c", conf, "-g", "daemon off;"]
    with child(argv, directory / "nginx.out", ready=ready) as process:
        yield RunningNginx(
            url=f"{'https' if 'ssl' in options else 'http'}://{listen}",
            status_url=status_url,
            generation_url=generation_url,
            directory=directory,
            conf=conf,
            pid_file=pid_file,
            shared_dir=directory / "shared",
            upstream_dir=directory / "shared" / "live",
            error_log=directory / "error.log",
            access_log=directory / "access.log",
            process=process,
        )


@contextlib.contextmanager
def watcher(running: RunningNginx, **variables: str) -> Iterator[Child]:
    """Run the watcher of the shared-volume way beside Nginx until the context ends.

    Args:
        running: The Nginx it serves.
        variables: Further variables of `watcher.sh`, such as `LB_POLL_S="0.05"`.

    Raises:
        NotReadyError: It did not start; the message ends with what it said.
    """
    status = running.shared_dir / "ack" / "status"

    def looked_at_ns() -> int:
        return status.stat().st_mtime_ns if status.exists() else 0

    before_ns = looked_at_ns()

    settings = {
        "LB_SHARED_DIR": str(running.shared_dir),
        "LB_NGINX_CONF": str(running.conf),
        "LB_PID": str(running.pid_file),
        **variables,
    }
    argv: list[str | Path] = ["sh", DEPLOY / "watcher.sh"]
    log = running.directory / "watcher.log"
    with child(argv, log, ready=lambda: looked_at_ns() > before_ns, env=settings) as process:
        yield process
