"""The controller does not start, or does not reach Nginx."""

from controller.app.environment import DEFAULT_FILE, SWITCH
from lab.processes import free_port
from tests.integration.troubles.place import (
    BACKENDS,
    Trouble,
    fetched,
)


def configuration_faults(at: Trouble) -> str:
    """The configuration has four faults."""
    at.config_file.write_text(
        """\
prometheus:
  url: prometheus:9090
pools:
  - name: llm
    selector: job="vllm"
    backends:
      - address: http://10.0.0.11:8000
nginx:
  mode: locally
control:
  intervall: 10s
"""
    )
    return at.said("check", "--config", at.config_file)


def nothing_configured(at: Trouble) -> str:
    """There is neither a file nor a variable; then there are variables with faults."""
    hidden: tuple[str, ...] = ()
    if DEFAULT_FILE.parent.is_dir():
        mount = f'mount -t tmpfs tmpfs {DEFAULT_FILE.parent} && exec "$@"'
        hidden = ("unshare", "-m", "sh", "-c", mount, "sh")
    plain = ("env", f"--unset={SWITCH}", *hidden)
    variables = ("LB_POLICY=ladde", "LB_INTERVAL=10", "LB_PROMETEUS_TOKEN_FILE=/run/token")
    wrong = ("env", f"{SWITCH}=http://127.0.0.1:9", *variables, *hidden)
    return at.said("check", under=plain) + at.said("check", under=wrong)


def controller_gone(at: Trouble) -> str:
    """No controller runs."""
    url = f"http://127.0.0.1:{free_port()}"
    return at.said("status", "--url", url).replace(url, "http://127.0.0.1:9808")


def not_ready(at: Trouble) -> str:
    """The controller runs, and no Nginx."""
    port, pid_file = free_port(), at.directory / "nginx.pid"
    way = at.way(pid_file=pid_file, confirm_url=f"http://127.0.0.1:{port}/lb/generation")
    with at.controller(way=way) as url:
        said = fetched(f"{url}/readyz")[1] + at.check(way=way)
    return said.replace(f"127.0.0.1:{port}", "127.0.0.1:8081").replace(
        at.as_on_the_page(str(pid_file)), "/run/nginx.pid"
    )


def include_missing(at: Trouble) -> str:
    """nginx.conf does not include the upstream file."""
    conf = at.directory / "nginx.conf"
    conf.write_text("events {}\nhttp {}\n")
    said = at.check(way=at.way(config_file=conf))
    return said.replace(at.as_on_the_page(str(conf)), "/etc/nginx/nginx.conf")


def no_upstream_file(at: Trouble) -> str:
    """Nobody has written the first upstream file."""
    live = at.directory / "live"
    live.mkdir()
    conf = at.directory / "nginx.conf"
    conf.write_text(f"events {{}}\nhttp {{\n    include {live}/upstream.conf;\n}}\n")
    return at.check(way=at.way(config_file=conf, directory=live))


def reload_fails(at: Trouble) -> str:
    """The configuration passes `nginx -t`, and the running Nginx cannot take it up."""
    zone = "limit_req_zone $binary_remote_addr zone=calls:1m rate=1r/s;"
    with at.own_nginx() as there:
        conf = there.site.nginx.conf
        conf.write_text(
            conf.read_text().replace("server_tokens off;", f"server_tokens off; {zone}")
        )
        way = there.way(confirm_timeout="2s")
        there.ask("once", way=way)
        conf.write_text(conf.read_text().replace("$binary_remote_addr zone", "$request_uri zone"))
        drained = [{"address": each, "drain": each == BACKENDS[0]} for each in BACKENDS]
        return there.ask("once", way=way, pools=there.pool(backends=drained))


def two_controllers(at: Trouble) -> str:
    """A second controller is started for the same directory."""
    with at.controller():
        return at.said("run", "--config", at.config_file)
