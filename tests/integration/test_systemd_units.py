"""docs/install.md, block by block, on a copy of this machine that systemd has booted."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.booted import Host, booted
from tests.integration.followed import (
    CONFIG,
    DOCS,
    INSTALL,
    QUICK,
    READY,
    ROOT,
    Page,
    install_program,
    simulated,
    start_prometheus,
    typed,
    until,
)

pytestmark = pytest.mark.integration
BACKENDS = ("10.0.0.11", "10.0.0.12")
CONTROLLER, WATCHER = "vllm-nginx-lb", "vllm-nginx-lb-watcher"
LIVE = "/var/lib/vllm-nginx-lb/live/upstream.conf"
GENERATION = "curl -sf http://127.0.0.1:8081/lb/generation"
CHECK = "runuser -u vllm-nginx-lb -- vllm-nginx-lb check"
WORKERS = "pgrep -f '[n]ginx: worker process$'"


def status(host: Host) -> dict[str, Any]:
    """What the running controller says of itself."""
    return dict(json.loads(host.run("vllm-nginx-lb status --json")))


def drain(host: Host, address: str, *, wanted: bool) -> None:
    """Ask for no new requests for a backend, or for requests again, and wait for Nginx."""
    line = f"      - address: {address}:8000"
    mark = "\\n        drain: true" if wanted else ""
    host.run(
        f"sed -i -e '/^        drain: true$/d' {CONFIG}\n"
        f"sed -i -e 's|^{line}.*|{line}{mark}|' {CONFIG}\n"
        f"systemctl restart {CONTROLLER}"
    )
    down = f"grep -q 'server {address}:8000 .* down;' {LIVE}"
    until(host, down if wanted else f"! {down}")
    served = f'grep -q "default \\"$({GENERATION})\\";" {LIVE}'
    until(host, served)
    until(host, READY)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host on which somebody has followed the page up to its sixth step."""
    directory = tmp_path_factory.mktemp("booted")
    with booted(directory) as running, simulated(running, directory, BACKENDS):
        running.run("systemctl start nginx")
        install_program(running)
        start_prometheus(running)
        INSTALL.follow(running, "3. The configuration")
        running.run(f"echo '{QUICK}' >>{CONFIG}")
        INSTALL.follow(running, "4. Nginx")
        (tried,) = INSTALL.blocks("5. Try it")
        running.run(tried.splitlines()[0])
        # Before its first scrapes Prometheus knows nobody.
        until(running, CHECK)
        running.run(tried)
        INSTALL.follow(running, "6. Start it")
        until(running, READY)
        yield running


def test_page_ends_with_a_controller_that_is_heard(host: Host) -> None:
    """Followed to the end, the page shows weights with reasons and an entry point that answers."""
    (seen,) = INSTALL.follow(host, "7. See it")
    for expected in ("Active: active (running)", *BACKENDS, "X-Upstream-Addr: 10.0.0.1"):
        assert expected in seen
    assert '"event": "tick"' in seen
    assert status(host)["pools"][0]["name"] == "llm"


def test_check_has_nothing_to_say(host: Host) -> None:
    """As the user of the service, every finding of the check is a good one."""
    # Rates are there after the second scrape.
    until(host, f"! {CHECK} | grep -E 'warning|error'")
    found = json.loads(host.run(f"{CHECK} --json"))["findings"]
    assert {each["severity"] for each in found} == {"ok"}, found


def test_systemd_has_nothing_against_the_units(host: Host) -> None:
    """Where all programs are in place, `systemd-analyze verify` is silent about both services."""
    done = host.attempt(f"systemd-analyze verify {CONTROLLER}.service {WATCHER}.service")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_controller_has_no_right_on_nginx(host: Host) -> None:
    """The controller runs with no capability, and its user can write nothing that Nginx reads."""
    told = host.run(f"cat /proc/$(systemctl show -P MainPID {CONTROLLER})/status")
    for expected in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"):
        assert expected in told
    assert re.search(r"^Seccomp:\t2$", told, re.MULTILINE)
    user = host.run("id -u vllm-nginx-lb").strip()
    assert f"Uid:\t{user}\t{user}\t{user}\t{user}" in told
    for place in ("live", "ack", ""):
        touch = f"runuser -u vllm-nginx-lb -- touch /var/lib/vllm-nginx-lb/{place}/x"
        assert "Permission denied" in host.attempt(touch).stderr
    kill = 'runuser -u vllm-nginx-lb -- kill -HUP "$(cat /run/nginx.pid)"'
    assert "not permitted" in host.attempt(kill).stderr
    test = host.attempt("runuser -u vllm-nginx-lb -- /usr/sbin/nginx -t")
    assert (test.returncode, "Permission denied" in test.stderr) == (1, True)


def test_changes_arrive_whatever_was_restarted(host: Host) -> None:
    """A change is taken up after restarts of Nginx, deaths of both services and a rotation."""
    drain(host, BACKENDS[1], wanted=True)
    host.run("systemctl restart nginx")
    drain(host, BACKENDS[1], wanted=False)
    host.run(f"systemctl kill --signal=KILL {WATCHER}")
    until(host, f"systemctl is-active {WATCHER}")
    drain(host, BACKENDS[0], wanted=True)
    host.run(f"systemctl kill --signal=KILL {CONTROLLER}")
    until(host, READY)
    (rotation,) = Page(DOCS / "nginx-metrics.md").blocks("Rotate the log", "logrotate")
    host.run(f"cat >/etc/logrotate.d/nginx <<'END'\n{rotation}END")
    host.run("logrotate --force /etc/logrotate.d/nginx && test -e /var/log/nginx/access.log.1")
    drain(host, BACKENDS[0], wanted=False)
    assert host.run("systemctl --failed --no-legend") == ""


def test_restart_is_no_reload(host: Host) -> None:
    """A controller that comes back adopts what Nginx serves, and remembers what it learned."""
    drain(host, BACKENDS[0], wanted=False)
    workers = host.run(WORKERS)
    host.run(f"systemctl restart {CONTROLLER}")
    until(host, READY)
    assert host.run(WORKERS) == workers
    assert "starting without memory" not in host.run(
        f"journalctl -u {CONTROLLER} _PID=$(systemctl show -P MainPID {CONTROLLER})"
    )


def test_keys_that_only_root_reads(host: Host) -> None:
    """Keys, ports below 1024 and directories of other sites do not stand in the way of a change."""
    host.run(
        "cd /etc/nginx\n"
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
        " -subj /CN=x -keyout site.key -out site.crt 2>&1\n"
        "chmod 600 site.key\n"
        "printf 'server { listen 443 ssl; ssl_certificate site.crt;"
        " ssl_certificate_key site.key; }\\n' >sites-enabled/tls\n"
        "nginx -t && systemctl reload nginx\n"
        "echo 'proxy_cache_path /var/cache/of-a-site keys_zone=site:1m;' >conf.d/site.conf"
    )
    drain(host, BACKENDS[1], wanted=True)
    drain(host, BACKENDS[1], wanted=False)


def test_request_is_read_in_private(host: Host) -> None:
    """Nobody but root sees what the watcher copied: the request may be a link to a secret."""
    host.run(
        "printf '#!/bin/sh\\nstat -c %%a /var/lib/vllm-nginx-lb/live/.request >>/run/modes\\n"
        'exec /usr/sbin/nginx "$@"\\n\' >/usr/local/sbin/spy\n'
        "chmod 755 /usr/local/sbin/spy\n"
        f"echo LB_NGINX=/usr/local/sbin/spy >/etc/default/{WATCHER}\n"
        f"systemctl restart {WATCHER}"
    )
    drain(host, BACKENDS[1], wanted=True)
    host.run(f"rm /etc/default/{WATCHER}; systemctl restart {WATCHER}")
    drain(host, BACKENDS[1], wanted=False)
    assert set(host.run("cat /run/modes").split()) == {"600"}


def test_faulty_configuration_is_not_tried_again(host: Host) -> None:
    """A configuration with a fault ends the controller for good, and Nginx serves on."""
    host.run(f"cp {CONFIG} /run/config.yaml; echo 'pols: []' >>{CONFIG}")
    host.run(f"systemctl restart {CONTROLLER} || :")
    until(host, f"systemctl is-failed {CONTROLLER}")
    shown = host.run(f"systemctl show -p ExecMainStatus -p NRestarts {CONTROLLER}").split()
    assert sorted(shown) == ["ExecMainStatus=2", "NRestarts=0"]
    assert "pols: is not a known key" in host.run(
        f"journalctl --sync && journalctl -u {CONTROLLER} -n 5"
    )
    host.run("curl -sf http://127.0.0.1:8080/v1/models")
    host.run(f"cp /run/config.yaml {CONFIG}")
    INSTALL.follow(host, "Change the configuration")
    until(host, READY)


def test_a_trial_as_root_stands_in_nobodys_way(host: Host) -> None:
    """The lock that a tick by root leaves behind does not keep the service from starting."""
    host.run(f"systemctl stop {CONTROLLER}; rm /var/lib/vllm-nginx-lb/req/.controller.lock")
    assert host.attempt("vllm-nginx-lb once").returncode == 0
    owner = "stat -c %U /var/lib/vllm-nginx-lb/req/.controller.lock"
    assert host.run(owner) == "root\n"
    host.run(f"systemctl start {CONTROLLER}")
    until(host, READY)
    assert host.run(owner) == "vllm-nginx-lb\n"


def test_a_port_that_is_taken_for_a_while_is_waited_for(host: Host) -> None:
    """A fault that passes ends the controller, but systemd starts it again until it is over."""
    host.run(
        f"systemctl stop {CONTROLLER}\n"
        "systemd-run --quiet --unit=squatter python3 -m http.server --bind 127.0.0.1 9808\n"
    )
    until(host, "curl -s http://127.0.0.1:9808/")
    host.run(f"systemctl start {CONTROLLER}")
    until(host, f"[ $(systemctl show -P NRestarts {CONTROLLER}) -ge 1 ]")
    assert '"event": "not started"' in host.run(f"journalctl -u {CONTROLLER} -n 20")
    host.run("systemctl stop squatter")
    until(host, READY)


def test_update_in_place(host: Host) -> None:
    """The commands for an update leave both services running."""
    INSTALL.follow(host, "Update")
    until(host, f"systemctl is-active {CONTROLLER} {WATCHER}")
    until(host, READY)


def test_going_back_leaves_nothing_but_the_pools(host: Host) -> None:
    """Stopped, Nginx keeps the weights through a restart; removed, only its pools are left."""
    stop, remove = INSTALL.blocks("Go back")
    served = host.run(GENERATION)
    for unit in (CONTROLLER, WATCHER):
        drop_in = f"/etc/systemd/system/{unit}.service.d"
        host.run(f"mkdir {drop_in}; echo '[Service]' >{drop_in}/override.conf")
    host.run(f"echo LB_PID=/run/nginx.pid >/etc/default/{WATCHER}")
    typed(host, f"{stop}systemctl restart nginx")
    assert host.run(GENERATION) == served
    typed(host, remove)
    kept = host.run("cat /etc/nginx/conf.d/llm-pools.conf; stat -c %a /etc/nginx/conf.d/llm-*")
    assert kept.endswith("}\n644\n")
    assert "vllm-nginx-lb" not in kept
    host.run("systemctl restart nginx && curl -sf http://127.0.0.1:8080/v1/models")
    left = host.run(
        # What a Docker engine does meanwhile is not looked at, and what ends is not missed.
        "find /etc /opt /run /usr /var -ignore_readdir_race -xdev"
        f" \\( -path '{ROOT}' -o -path /var/log -o -path /var/lib/docker \\) -prune"
        " -o -name '*vllm-nginx-lb*' -print"
    )
    assert left == ""
    assert host.attempt("getent passwd vllm-nginx-lb").returncode == 2
