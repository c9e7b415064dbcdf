"""The configuration of the entry point does what an OpenAI-compatible API needs."""

import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest

from controller.core.render import PLACEHOLDER
from lab.nginx import DEPLOY, nginx, render_conf, seed_text
from lab.processes import await_true, free_port
from tests.integration.nginx.cases import WAYS, backend, file_of, log_lines, way_to

pytestmark = pytest.mark.integration
KEEP = "keepalive_min_timeout 5s;"


class Answer(NamedTuple):
    """What a client sees."""

    status: int
    headers: Message
    body: str


def call(url: str, body: bytes | None = None, **headers: str) -> Answer:
    """Send one request; a body makes it a POST."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, answer.headers, answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read().decode())


def test_failing_backend_is_left_for_another(tmp_path: Path) -> None:
    """A POST that one backend answers with 500 is sent to the next; the client sees both tries."""
    with backend(status=500) as bad, backend(body="good") as good:
        text = seed_text("llm", (bad.address, good.address))
        with nginx(tmp_path, upstream_text=text, LB_WORKERS="1") as running:
            answers = [call(f"{running.url}/v1/chat/completions", b"{}") for _ in range(6)]
        assert {answer.body for answer in answers} == {"good"}
        tried = {answer.headers["X-Upstream-Status"] for answer in answers}
        assert "500, 200" in tried
        assert f"{bad.address}, {good.address}" in {
            answer.headers["X-Upstream-Addr"] for answer in answers
        }


def test_post_is_not_sent_twice_where_the_user_forbids_it(tmp_path: Path) -> None:
    """With LB_RETRY_POST=off a POST that reached a backend stays with it, its error included."""
    with backend(status=500, body="its own words") as bad, backend() as good:
        text = seed_text("llm", (bad.address, good.address))
        with nginx(tmp_path, upstream_text=text, LB_RETRY_POST="off", LB_WORKERS="1") as running:
            answers = [call(f"{running.url}/v1/chat/completions", b"{}") for _ in range(4)]
        assert (500, "its own words") in {(answer.status, answer.body) for answer in answers}
        assert all("," not in answer.headers["X-Upstream-Status"] for answer in answers)


def test_dead_backends_give_an_error_of_the_api(tmp_path: Path) -> None:
    """When nobody can answer, the client gets JSON in the form of the API, at once."""
    with nginx(tmp_path) as running:
        answer = call(f"{running.url}/v1/chat/completions", b"{}")
        assert answer.status == 502
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Upstream-Addr"] == PLACEHOLDER.address
        error = json.loads(answer.body)["error"]
        assert error["type"] == "server_error"
        assert set(error) == {"message", "type", "param", "code"}


def test_slow_backend_and_large_body_give_errors_of_the_api(tmp_path: Path) -> None:
    """A time-out is a 504 and a body over the limit a 413, both in the form of the API."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        text = seed_text("llm", (f"127.0.0.1:{silent.getsockname()[1]}",))
        limits = {"LB_READ_TIMEOUT": "300ms", "LB_BODY_MAX": "1k"}
        with nginx(tmp_path, upstream_text=text, **limits) as running:
            slow = call(f"{running.url}/v1/models")
            large = call(f"{running.url}/v1/chat/completions", b"x" * 2000)
    assert slow.status == 504
    assert json.loads(slow.body)["error"]["code"] == "gateway_timeout"
    assert large.status == 413
    assert json.loads(large.body)["error"]["code"] == "request_too_large"


def test_paths(tmp_path: Path) -> None:
    """The API and /health go to the pool, /healthz is Nginx itself, all else is a 404."""
    with backend(body="from the pool") as one:
        with nginx(tmp_path, upstream_text=seed_text("llm", (one.address,))) as running:
            assert call(f"{running.url}/v1/models").body == "from the pool"
            assert call(f"{running.url}/health").body == "from the pool"
            assert call(f"{running.url}/healthz").body == "ok\n"
            other = call(f"{running.url}/metrics")
            assert other.status == 404
            assert json.loads(other.body)["error"]["code"] == "not_found"
        with nginx(
            tmp_path / "all", upstream_text=seed_text("llm", (one.address,)), LB_PASS_ALL="on"
        ) as running:
            assert call(f"{running.url}/generate").body == "from the pool"


def test_second_pool(tmp_path: Path) -> None:
    """A file in locations.d puts another pool behind a prefix, and keeps the response headers."""
    directory = tmp_path / "locations.d"
    directory.mkdir()
    (directory / "qwen.conf").write_text("location /qwen/ { proxy_pass http://qwen/; }\n")
    with backend(body="qwen") as one:
        text = seed_text("qwen", (one.address,))
        with nginx(tmp_path, pool="qwen", upstream_text=text) as running:
            answer = call(f"{running.url}/qwen/v1/models")
            assert answer.body == "qwen"
            assert answer.headers["X-Upstream-Addr"] == one.address


def test_tls(tmp_path: Path) -> None:
    """A certificate is found by its path relative to nginx.conf, also when a change is tested."""
    directory = tmp_path / "locations.d"
    directory.mkdir()
    (directory / "tls.conf").write_text("ssl_certificate tls.pem; ssl_certificate_key tls.key;\n")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", f"{tmp_path}/tls.key", "-out", f"{tmp_path}/tls.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files],
        check=True,
        capture_output=True,
    )
    trust = ssl.create_default_context(cafile=str(tmp_path / "tls.pem"))
    with nginx(tmp_path, LB_LISTEN=f"127.0.0.1:{free_port()} ssl") as running:
        for weight, way in enumerate(WAYS, start=4):
            wanted = file_of(weight)
            with way_to(running, way) as actuator:
                actuator.apply(wanted.generation, wanted.text)
        with urllib.request.urlopen(f"{running.url}/healthz", context=trust) as answer:
            assert answer.read() == b"ok\n"


def test_websocket_is_passed_on_whole(tmp_path: Path) -> None:
    """A request to upgrade reaches the backend as one, and the connection then carries bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        text = seed_text("llm", (f"127.0.0.1:{listening.getsockname()[1]}",))
        with nginx(tmp_path, upstream_text=text) as running:
            host, port = running.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port)), timeout=10) as client:
                client.sendall(
                    b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n"
                    b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                )
                connection, _ = listening.accept()
                with connection:
                    asked = connection.recv(4096)
                    assert b"Upgrade: websocket\r\nConnection: upgrade\r\n" in asked
                    connection.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\n"
                        b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"
                    )
                    assert b" 101 " in client.recv(4096)
                    client.sendall(b"ping")
                    assert connection.recv(4) == b"ping"


def test_what_a_backend_is_told(tmp_path: Path) -> None:
    """A backend sees the host asked for, the client and the scheme, and keeps its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        text = seed_text("llm", (f"127.0.0.1:{listening.getsockname()[1]}",))
        with nginx(tmp_path, upstream_text=text) as running:
            host, port = running.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port)), timeout=10) as client:
                client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: api.example\r\n\r\n")
                connection, _ = listening.accept()
                with connection:
                    asked = connection.recv(4096).decode().splitlines()
    assert asked[0] == "GET /v1/models HTTP/1.1"
    assert {
        "Host: api.example",
        "X-Real-IP: 127.0.0.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
    } <= set(asked)
    assert not [line for line in asked if line.lower().startswith("connection:")]


def test_examples_of_the_pages() -> None:
    """Every Nginx example of the pages on Nginx is one that Nginx accepts."""
    docs = DEPLOY.parents[1] / "docs"
    pages = [(docs / name).read_text() for name in ("nginx.md", "slots.md")]
    examples = [
        each for page in pages for each in re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    ]
    assert len(examples) >= 3
    pools = "upstream llm { server 127.0.0.1:9; } upstream qwen { server 127.0.0.1:9; }"
    for example in examples:
        with tempfile.TemporaryDirectory() as name:
            pool_file = Path(name) / "upstream.conf"
            pool_file.write_text('map "" $lb_generation { default "x"; }\n')
            text = example.replace("/var/lib/vllm-nginx-lb/live/upstream.conf", str(pool_file))
            context = text if "server {" in text else f"server {{ {text} }}"
            conf = Path(name) / "nginx.conf"
            conf.write_text(f"pid {name}/pid; events {{}} http {{ {pools} {context} }}")
            done = subprocess.run(
                ["nginx", "-t", "-c", conf], check=False, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr


def test_request_identifier(tmp_path: Path) -> None:
    """A client's own plain identifier is kept, an unfit one replaced, and the answer names it."""
    with nginx(tmp_path) as running:
        kept = call(f"{running.url}/v1/models", X_Request_ID="run-7.a")
        made = call(f"{running.url}/v1/models", X_Request_ID='x" injected')
    assert kept.headers["X-Request-ID"] == "run-7.a"
    assert len(made.headers["X-Request-ID"]) == 32


def test_access_log_is_json(tmp_path: Path) -> None:
    """Each line is one JSON object with backend, status, times and generation."""
    with backend(status=500) as bad, backend() as good:
        text = seed_text("llm", (bad.address, good.address))
        with nginx(tmp_path, upstream_text=text, LB_WORKERS="1") as running:
            for _ in range(4):
                call(f"{running.url}/v1/x%22%0a", b"{}", User_Agent='quote " \\ \x7f')
            await_true(lambda: len(running.access_log.read_text().splitlines()) == 4, 5, "4 lines")
            lines = log_lines(running)
            generation = running.generation()
    assert all(line["status"] == 200 and line["generation"] == generation for line in lines)
    retried = [line for line in lines if line["upstream_status"] == "500, 200"]
    assert retried[0]["upstream_addr"] == f"{bad.address}, {good.address}"
    assert isinstance(lines[0]["request_time"], float)
    for name in ("upstream_connect_time", "upstream_header_time", "upstream_response_time"):
        assert float(str(lines[-1][name]).rpartition(", ")[2]) < 5


def test_status_page_is_for_listed_addresses(tmp_path: Path) -> None:
    """The status page is there for local addresses, or those that the user lists, and no other."""
    with nginx(tmp_path / "local") as running:
        assert "Active connections" in call(f"{running.status_url}/stub_status").body
        assert call(f"{running.url}/stub_status").status == 404
    with nginx(tmp_path / "other", LB_STATUS_ALLOW="192.0.2.7") as running:
        assert call(f"{running.status_url}/stub_status").status == 403


def test_generation_is_asked_on_new_connections(tmp_path: Path) -> None:
    """The status server keeps no connection, since an old worker could hold it after a reload."""
    with nginx(tmp_path) as running:
        assert call(running.generation_url).headers["Connection"] == "close"


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_configuration_passes_without_a_warning(user: str) -> None:
    """`nginx -t` has nothing to say, as root and as a user who owns only the run directory."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "upstream.conf").write_text(seed_text("llm"))
        (directory / "nginx.conf").write_text(
            render_conf(
                {
                    "LB_UPSTREAM_FILE": f"{directory}/upstream.conf",
                    "LB_RUN_DIR": str(directory),
                    "LB_LOG_DIR": str(directory),
                    "LB_PID": f"{directory}/nginx.pid",
                }
            )
        )
        for path in (directory, *directory.iterdir()):
            os.chown(path, 65534 if user == "nobody" else 0, -1)
        done = subprocess.run(
            ["nginx", "-t", "-c", directory / "nginx.conf"],
            user=user,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stderr.splitlines()) == 2, done.stderr


@pytest.mark.parametrize(
    ("version", "line"),
    [("1.22.1", ""), ("1.27.3", ""), ("1.27.4", KEEP), ("1.30.0", KEEP), ("2.0", KEEP)],
)
def test_newer_directives_only_where_nginx_has_them(version: str, line: str) -> None:
    """A directive that an older Nginx refuses is left out for it."""
    text = render_conf({"LB_NGINX_VERSION": version})
    assert [found.strip() for found in text.splitlines() if "keepalive_min" in found] == (
        [line] if line else []
    )
    assert "${" not in text


@pytest.mark.parametrize(
    "variables",
    [
        {"LB_POOL": "llm; } server { listen 1"},
        {"LB_RUN_DIR": "/run\nuser root"},
        {"LB_RETRY_POST": "yes"},
        {"LB_NGINX": "/bin/true"},
    ],
)
def test_variable_that_makes_no_sense(variables: dict[str, str]) -> None:
    """A value that would become another directive, or means nothing, stops the rendering."""
    with pytest.raises(subprocess.CalledProcessError) as error:
        render_conf(variables)
    assert "render.sh: " in error.value.stderr


WHOLE = "a whole number from 1"
TIME = "a time such as 60s, 5m or 500ms"
LEVELS = "debug, info, notice, warn, error, crit, alert or emerg"


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("LB_WORKERS", "two 0 -1 2.5 AUTO 1e9", f"auto or {WHOLE}"),
        ("LB_WORKER_CONNECTIONS", "0 4k 99999999999", WHOLE),
        ("LB_WORKER_FILES", "many", WHOLE),
        ("LB_RETRY_TRIES", "off 3x", "a whole number; 0 sets no limit"),
        ("LB_RETRY_AFTER", "1s 030", "whole seconds"),
        ("LB_CONNECT_TIMEOUT", "5sec 1.5s s -1 30s1m 5S", TIME),
        ("LB_READ_TIMEOUT", "forever 1y 1M", TIME),
        ("LB_SEND_TIMEOUT", "10min", TIME),
        ("LB_RETRY_TIMEOUT", "30,5", TIME),
        ("LB_KEEPALIVE", "none", TIME),
        ("LB_KEEPALIVE_MIN", "5us", TIME),
        ("LB_BODY_MAX", "100mb 1t", "a size such as 128k, 100m or 1g"),
        ("LB_BODY_BUFFER", "1g 8MiB", "a size such as 128k or 8m"),
        ("LB_LOG_LEVEL", "warning INFO", LEVELS),
        ("LB_PASS_ALL", "true", "on or off"),
    ],
)
def test_value_of_another_form(name: str, values: str, expected: str) -> None:
    """It is named with what was expected, before Nginx would name a line of the rendered file."""
    for value in values.split():
        with pytest.raises(subprocess.CalledProcessError) as error:
            render_conf({name: value})
        assert error.value.stderr == f"render.sh: {name}={value}: expected {expected}\n"
        assert not error.value.stdout


def test_all_values_of_another_form_are_named_at_once() -> None:
    """Whoever sets several variables wrong is told of each."""
    wrong = {"LB_WORKERS": "two", "LB_KEEPALIVE": "long", "LB_PASS_ALL": "1", "LB_POOL": "a;b"}
    with pytest.raises(subprocess.CalledProcessError) as error:
        render_conf(wrong)
    named = {line.split()[1].partition("=")[0] for line in error.value.stderr.splitlines()}
    assert named == set(wrong)


@pytest.mark.parametrize(
    "variables",
    [
        {"LB_WORKERS": "auto", "LB_RETRY_TRIES": "0", "LB_BODY_MAX": "0", "LB_LOG_LEVEL": "warn"},
        {"LB_READ_TIMEOUT": "1h30m", "LB_SEND_TIMEOUT": "90", "LB_CONNECT_TIMEOUT": "1s500ms"},
        {"LB_RETRY_TIMEOUT": "0", "LB_KEEPALIVE": "75s 60s", "LB_KEEPALIVE_MIN": "250ms"},
        {"LB_BODY_MAX": "2G", "LB_BODY_BUFFER": "131072", "LB_RETRY_AFTER": "0"},
        {"LB_BODY_MAX": "1048576", "LB_BODY_BUFFER": "8M", "LB_READ_TIMEOUT": "3w4d5h6m7s8ms"},
    ],
)
def test_every_form_that_is_let_through_is_one_of_nginx(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    """Nginx starts with it."""
    with nginx(tmp_path, **variables) as running:
        assert running.generation()
