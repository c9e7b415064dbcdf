"""A simulated server as its clients and Prometheus see it: a child process, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from lab.processes import free_port
from simulator.presets import LAB
from simulator.server import ServerConfig, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0
# Some fifteen steps of the laboratory's engine: long enough to see that nothing comes.
SILENCE_S = 0.3
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until a condition holds; fail the test when it never does."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Simulated:
    """A running simulator and how to talk to it."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **options: Any) -> requests.Response:  # noqa: ANN401  # of requests
        """GET a path."""
        return requests.get(self.url + path, timeout=DEADLINE_S, **options)

    def post(self, path: str, body: object, timeout_s: float = DEADLINE_S) -> requests.Response:
        """POST a JSON body."""
        return requests.post(self.url + path, json=body, timeout=timeout_s)

    def control(self, **settings: object) -> None:
        """Change settings."""
        self.post("/simulator", settings).raise_for_status()

    @contextlib.contextmanager
    def stream(self, **body: object) -> Iterator[requests.Response]:
        """Open a stream of 500 tokens, or as the body says; leave it at the end of the block."""
        body = {"prompt": [1] * 20, "max_tokens": 500, **body, "stream": True}
        with requests.post(
            f"{self.url}/v1/completions", json=body, stream=True, timeout=DEADLINE_S
        ) as response:
            assert response.status_code == 200
            yield response

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have the labels given."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_for(self, name: str, value: float, **labels: str) -> None:
        """Wait until a metric has a value."""
        wait_until(lambda: self.metric(name, **labels) == value, f"{name} is {value}")


@contextlib.contextmanager
def simulator(directory: Path, *arguments: str) -> Iterator[Simulated]:
    """Run a simulator in a child process, and end it."""
    port_file = directory / "port"
    command = [sys.executable, "-m", "simulator.server", "--port-file", str(port_file), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: port_file.exists() or process.poll() is not None, "ready")
            yield Simulated(process, int(port_file.read_text()))
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """A healthy server, for tests that change nothing."""
    with simulator(tmp_path_factory.mktemp("simulator"), "--model", "tiny") as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Simulated]:
    """A server of the test's own, to be made ill."""
    with simulator(tmp_path, "--model", "tiny") as server:
        yield server


def events(response: requests.Response) -> list[Any]:
    """Return the events of a whole stream, [DONE] as a string."""
    parts = response.content.split(b"\n\n")
    assert parts.pop() == b""
    assert all(part.startswith(b"data: ") for part in parts)
    texts = [part.removeprefix(b"data: ") for part in parts]
    return [text.decode() if text == b"[DONE]" else json.loads(text) for text in texts]


class TestAnswers:
    """What a healthy server answers."""

    def test_completion_stream(self, shared: Simulated) -> None:
        """A streamed completion is one event per token, the last with its reason, then [DONE]."""
        with shared.stream(max_tokens=4) as response:
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            *tokens, done = events(response)
        assert done == "[DONE]"
        assert len(tokens) == 4
        assert {token["object"] for token in tokens} == {"text_completion"}
        assert len({token["id"] for token in tokens}) == 1
        assert [token["choices"][0]["finish_reason"] for token in tokens] == [
            *[None] * 3,
            "length",
        ]
        assert all(token["choices"][0]["text"] for token in tokens)

    def test_usage_event(self, shared: Simulated) -> None:
        """With include_usage the event before [DONE] has no choice and the numbers."""
        with shared.stream(max_tokens=3, stream_options={"include_usage": True}) as response:
            *tokens, usage, _done = events(response)
        assert len(tokens) == 3
        assert usage["choices"] == []
        assert usage["usage"] == {
            "prompt_tokens": 20,
            "completion_tokens": 3,
            "total_tokens": 23,
        }

    @pytest.mark.parametrize("max_tokens", [1, 3])
    def test_chat_stream(self, shared: Simulated, max_tokens: int) -> None:
        """A streamed chat begins with the role, then one delta of content per token."""
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": max_tokens,
            "stream": True,
        }
        role, *tokens, done = events(shared.post("/v1/chat/completions", body))
        assert role["object"] == "chat.completion.chunk"
        assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert [bool(token["choices"][0]["delta"]["content"]) for token in tokens] == [
            True
        ] * max_tokens
        assert tokens[-1]["choices"][0]["finish_reason"] == "length"
        assert done == "[DONE]"

    def test_whole_completion(self, shared: Simulated) -> None:
        """A completion without a stream is one body with the text and the usage."""
        answer = shared.post("/v1/completions", {"prompt": "12345678", "max_tokens": 3}).json()
        assert (answer["object"], answer["model"]) == ("text_completion", "tiny")
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}

    def test_whole_chat(self, shared: Simulated) -> None:
        """A chat without a stream is one body with the message and the usage."""
        body = {"messages": [{"role": "user", "content": "1234"}], "max_completion_tokens": 2}
        answer = shared.post("/v1/chat/completions", body).json()
        assert answer["object"] == "chat.completion"
        assert answer["choices"][0]["message"]["role"] == "assistant"
        assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}

    def test_small_routes(self, shared: Simulated) -> None:
        """Health, ping, version and models answer as vLLM's do."""
        assert shared.get("/health").status_code == 200
        assert shared.get("/ping").status_code == 200
        assert shared.get("/version").json() == {"version": "0.32.0"}
        (model,) = shared.get("/v1/models").json()["data"]
        assert (model["id"], model["max_model_len"]) == ("tiny", 1024)

    def test_every_answer_names_its_server(self, shared: Simulated) -> None:
        """Answers, streams and errors carry X-Served-By."""
        name = f"127.0.0.1:{shared.port}"
        assert shared.get("/health").headers["X-Served-By"] == name
        assert shared.get("/nowhere").headers["X-Served-By"] == name
        with shared.stream(max_tokens=1) as response:
            assert response.headers["X-Served-By"] == name

    def test_connection_serves_one_stream_after_another(self, shared: Simulated) -> None:
        """A stream ends with its HTTP message, so that the connection can be used again."""
        connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=DEADLINE_S)
        body = json.dumps({"prompt": "a", "max_tokens": 2, "stream": True})
        with contextlib.closing(connection):
            bodies = []
            sockets = set()
            for _ in range(2):
                connection.request("POST", "/v1/completions", body)
                bodies.append(connection.getresponse().read())
                assert connection.sock is not None
                sockets.add(connection.sock.getsockname())
        assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)
        assert len(sockets) == 1

    def test_http_1_0_stream(self, shared: Simulated) -> None:
        """A client of HTTP/1.0, as a plain Nginx is, gets events without chunks."""
        body = json.dumps({"prompt": "a", "max_tokens": 2, "stream": True}).encode()
        head = f"POST /v1/completions HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", shared.port), DEADLINE_S) as client:
            client.sendall(head + body)
            with client.makefile("rb") as file:
                answer = file.read()
        head, _, payload = answer.partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert payload.startswith(b"data: {")
        assert payload.endswith(b"data: [DONE]\n\n")


class TestRefusals:
    """What a healthy server refuses."""

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/v1/completions", b"{", 400),
            ("/v1/completions", b"\xff", 400),
            ("/v1/completions", b"[" * 100_000, 400),
            ("/v1/completions", b"[]", 400),
            ("/v1/completions", b'{"max_tokens": 5}', 400),
            ("/v1/completions", b'{"prompt": "a", "max_tokens": "5"}', 400),
            ("/v1/completions", b'{"prompt": "a", "max_tokens": 1024}', 400),
            ("/v1/completions", b'{"prompt": "a", "model": "other"}', 404),
            ("/v1/chat/completions", b'{"messages": []}', 400),
            ("/v1/chat/completions", b'{"prompt": "a"}', 400),
            ("/simulator", b'{"speed": 0, "fault": "x"}', 400),
        ],
    )
    def test_bad_body(self, shared: Simulated, path: str, body: bytes, status: int) -> None:
        """A bad body is answered with OpenAI's error object, whose code is the status."""
        answer = requests.post(shared.url + path, data=body, timeout=DEADLINE_S)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, status)
        assert error["message"]
        assert error["type"] == {400: "BadRequestError", 404: "NotFoundError"}[status]

    def test_unknown_path_and_method(self, shared: Simulated) -> None:
        """What no route knows is 404, a wrong method 405."""
        assert shared.get("/v2").status_code == 404
        assert shared.get("/v1/completions").status_code == 405

    def test_request_larger_than_the_cache(self, own: Simulated) -> None:
        """A request that the KV cache can never hold is refused at once."""
        own.control(num_gpu_blocks=5)
        answer = own.post("/v1/completions", {"prompt": [1] * 60, "max_tokens": 5})
        assert answer.status_code == 400
        assert "KV cache holds 64" in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        "arguments",
        [["--preset", "b200"], ["--max-num-seqs", "0"], ["--port", "x"], ["--speed", "0"]],
    )
    def test_bad_command_line(self, arguments: list[str]) -> None:
        """A command line that makes no server ends with status 2 and names the argument."""
        command = [sys.executable, "-m", "simulator.server", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert arguments[0].lstrip("-").replace("-", "_") in done.stderr.replace("-", "_")

    def test_port_in_use(self, shared: Simulated) -> None:
        """A server whose port is taken ends with status 1 and one line of why."""
        command = [sys.executable, "-m", "simulator.server", "--port", str(shared.port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("simulator: ")
        assert done.stderr.count("\n") == 1


class TestMetrics:
    """What Prometheus sees of a healthy server."""

    def test_histograms_move_with_tokens(self, own: Simulated) -> None:
        """Five tokens are one first token and four gaps of the engine's step time."""
        with own.stream(max_tokens=5) as response:
            events(response)
        own.wait_for("vllm:generation_tokens_total", 5)
        assert own.metric("vllm:prompt_tokens_total") == 20
        assert own.metric("vllm:time_to_first_token_seconds_count") == 1
        assert own.metric("vllm:inter_token_latency_seconds_count") == 4
        mean_s = own.metric("vllm:inter_token_latency_seconds_sum") / 4
        assert mean_s == pytest.approx(LAB.step_s(0, 1, 0), rel=0.01)
        assert own.metric("vllm:request_success_total", finished_reason="length") == 1

    def test_gauges_show_the_batch(self, own: Simulated) -> None:
        """While more requests live than fit, running is full and the others wait."""
        with contextlib.ExitStack() as streams:
            for _ in range(LAB.max_num_seqs + 2):
                streams.enter_context(own.stream())
            own.wait_for("vllm:num_requests_waiting", 2)
            own.wait_for("vllm:num_requests_waiting_by_reason", 2, reason="capacity")
            assert own.metric("vllm:num_requests_running") == LAB.max_num_seqs
            assert 0 < own.metric("vllm:kv_cache_usage_perc") <= 1

    def test_http_series(self, own: Simulated) -> None:
        """Requests count by handler and class of status; health and metrics do not count."""
        own.get("/health")
        own.get("/nowhere")
        own.post("/v1/completions", {})
        with own.stream(max_tokens=2) as response:
            events(response)
        completions = {"handler": "/v1/completions", "method": "POST"}
        own.wait_for("http_requests_total", 1, **completions, status="2xx")
        assert own.metric("http_requests_total", **completions, status="4xx") == 1
        assert own.metric("http_requests_total", handler="none", status="4xx") == 1
        assert own.metric("http_requests_total") == 3
        assert own.metric("http_request_duration_seconds_count", **completions) == 2
        assert own.metric("http_request_size_bytes_sum", handler="/v1/completions") > 0

    @pytest.mark.parametrize(
        ("accept", "content_type", "name"),
        [
            ("*/*", "text/plain; version=0.0.4; charset=utf-8", b"vllm:num_requests_running{"),
            (OPENMETRICS, "application/openmetrics-text", b"vllm_num_requests_running{"),
            (
                f"{OPENMETRICS};escaping=allow-utf-8",
                "application/openmetrics-text",
                b"vllm:num_requests_running{",
            ),
        ],
    )
    def test_content_negotiation(
        self, shared: Simulated, accept: str, content_type: str, name: bytes
    ) -> None:
        """OpenMetrics without UTF-8 names turns colons into underscores, text does not."""
        answer = shared.get("/metrics", headers={"Accept": accept})
        assert answer.headers["Content-Type"].startswith(content_type)
        assert b"\n" + name in answer.content

    def test_metrics_are_compressed_and_restricted_on_demand(self, shared: Simulated) -> None:
        """The exposition honours Accept-Encoding and name[], as prometheus_client's does."""
        answer = shared.get("/metrics", params={"name[]": "vllm:num_requests_running"})
        assert answer.headers["Content-Encoding"] == "gzip"
        names = {family.name for family in text_string_to_metric_families(answer.text)}
        assert names == {"vllm:num_requests_running"}


class TestControl:
    """What a running server can be told."""

    def test_settings_are_shown(self, own: Simulated) -> None:
        """GET shows what POST set, and a POST changes only what it names."""
        own.control(speed=0.5)
        own.control(num_gpu_blocks=100)
        shown = own.get("/simulator").json()
        assert shown.pop("worst_lag_s") >= 0
        assert shown == {"speed": 0.5, "num_gpu_blocks": 100, "fault": "none"}
        assert own.metric("vllm:cache_config_info", num_gpu_blocks="100") == 1

    def test_speed_stretches_steps(self, own: Simulated) -> None:
        """At speed 0.5 tokens come twice as far apart."""
        own.control(speed=0.5)
        with own.stream(max_tokens=5) as response:
            events(response)
        own.wait_for("vllm:inter_token_latency_seconds_count", 4)
        mean_s = own.metric("vllm:inter_token_latency_seconds_sum") / 4
        assert mean_s == pytest.approx(2 * LAB.step_s(0, 1, 0), rel=0.01)

    def test_shrinking_ends_what_cannot_fit(self, own: Simulated) -> None:
        """A stream too long for a smaller cache ends with an error event; its status stays 200."""
        with own.stream() as response:
            own.wait_for("vllm:num_requests_running", 1)
            own.control(num_gpu_blocks=10)
            *_tokens, error, done = events(response)
        assert error["error"]["type"] == "InternalServerError"
        assert done == "[DONE]"
        assert own.metric("vllm:request_success_total", finished_reason="error") == 1


class TestFaults:
    """What clients and Prometheus see of each illness."""

    def test_http_500(self, own: Simulated) -> None:
        """A black hole answers 500 at once, and looks idle and healthy."""
        own.control(fault="http_500")
        answer = own.post("/v1/completions", {"prompt": "a", "stream": True})
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == 500
        assert own.get("/health").status_code == 200
        assert own.metric("http_requests_total", status="5xx") == 1
        assert own.metric("vllm:num_requests_running") == 0

    def test_hang(self, own: Simulated) -> None:
        """A hanging server never answers completions, and is otherwise well, even after."""
        own.control(fault="hang")
        with pytest.raises(requests.ReadTimeout):
            own.post("/v1/completions", {"prompt": "a"}, timeout_s=SILENCE_S)
        assert own.get("/health").status_code == 200
        assert own.metric("vllm:num_requests_waiting") == 0
        own.control(fault="none")
        assert own.post("/v1/completions", {"prompt": "a", "max_tokens": 1}).status_code == 200
        assert own.metric("http_requests_total") == 1

    def test_freeze_engine(self, own: Simulated) -> None:
        """A frozen engine shows running requests and no tokens, until it goes on where it was."""
        with own.stream(max_tokens=200) as response:
            own.wait_for("vllm:num_requests_running", 1)
            own.control(fault="freeze_engine")
            tokens = own.metric("vllm:generation_tokens_total")
            with pytest.raises(requests.ReadTimeout):
                own.post("/v1/completions", {"prompt": "a"}, timeout_s=SILENCE_S)
            assert own.get("/health").status_code == 200
            assert own.metric("vllm:generation_tokens_total") == tokens < 200
            assert own.metric("vllm:num_requests_running") == 1
            assert own.metric("vllm:num_requests_waiting") == 0
            own.control(fault="none")
            assert len(events(response)) == 201

    def test_freeze_of_an_idle_engine(self, own: Simulated) -> None:
        """Requests that come to a frozen engine are invisible, and served when it goes on."""
        own.control(fault="freeze_engine")
        with own.stream(max_tokens=3) as response:
            assert own.metric("vllm:num_requests_waiting") == 0
            own.control(fault="none")
            assert len(events(response)) == 4

    def test_sleep(self, own: Simulated) -> None:
        """A sleeping engine runs nothing, and all wait; awake, it finishes what it had."""
        with own.stream(max_tokens=100) as first:
            own.wait_for("vllm:num_requests_running", 1)
            own.control(fault="sleep")
            with own.stream(max_tokens=5) as second:
                own.wait_for("vllm:num_requests_waiting", 2)
                assert own.metric("vllm:engine_sleep_state", sleep_state="awake") == 0
                assert own.metric("vllm:engine_sleep_state", sleep_state="weights_offloaded") == 1
                assert own.metric("vllm:num_requests_running") == 0
                assert own.metric("vllm:kv_cache_usage_perc") == 0
                assert own.get("/health").status_code == 200
                own.control(fault="none")
                assert own.metric("vllm:engine_sleep_state", sleep_state="awake") == 1
                assert (len(events(first)), len(events(second))) == (101, 6)
        own.wait_for("vllm:num_requests_waiting", 0)

    def test_client_leaves_a_stream(self, own: Simulated) -> None:
        """A client that leaves frees its place and its blocks, and counts as aborted."""
        with own.stream():
            own.wait_for("vllm:num_requests_running", 1)
        own.wait_for("vllm:request_success_total", 1, finished_reason="abort")
        own.wait_for("vllm:num_requests_running", 0)
        assert own.metric("vllm:kv_cache_usage_perc") == 0
        assert own.metric("http_requests_total", status="2xx") == 1

    def test_client_leaves_before_a_whole_answer(self, own: Simulated) -> None:
        """A client that gives up waiting is aborted, and counts as no answer."""
        with pytest.raises(requests.ReadTimeout):
            own.post("/v1/completions", {"prompt": "a", "max_tokens": 900}, timeout_s=SILENCE_S)
        own.wait_for("vllm:request_success_total", 1, finished_reason="abort")
        assert own.metric("http_requests_total") == 0


class TestLife:
    """How a server starts, keeps its pace, and stops."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stop_cuts_streams(self, tmp_path: Path, number: signal.Signals) -> None:
        """A stop ends the process with status 0 at once, and streams without their end."""
        with simulator(tmp_path) as server, server.stream() as response:
            server.wait_for("vllm:num_requests_running", 1)
            server.process.send_signal(number)
            assert server.process.wait(DEADLINE_S) == 0
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                events(response)
            with pytest.raises(requests.ConnectionError):
                server.get("/health")
            assert server.process.stdout is not None
            assert server.process.stdout.read() == f"ready {server.url} model=simulated\n"

    def test_pace_does_not_drift(self, shared: Simulated) -> None:
        """A hundred steps last a hundred times a step, whatever each write cost."""
        expected_s = 100 * LAB.step_s(0, 1, 0)

        def took_s() -> float:
            began_s = time.monotonic()
            with shared.stream(max_tokens=100) as response:
                events(response)
            return time.monotonic() - began_s

        lasted_s = [took_s() for _ in range(3)]
        assert min(lasted_s) >= expected_s - 0.01
        # Above: the way there and back. A drift is in each of them, what the machine does is not.
        assert min(lasted_s) <= expected_s + 0.5

    def test_servers_share_a_process(self) -> None:
        """Several servers in one event loop have their own ports, engines and metrics."""

        async def scenario() -> list[tuple[str, float]]:
            servers = [await start(ServerConfig(model=name)) for name in ("one", "two")]
            try:
                await asyncio.to_thread(
                    requests.post,
                    f"{servers[0].url}/v1/completions",
                    json={"prompt": "a", "max_tokens": 3},
                    timeout=DEADLINE_S,
                )
                texts = [
                    await asyncio.to_thread(requests.get, f"{s.url}/metrics", timeout=DEADLINE_S)
                    for s in servers
                ]
            finally:
                for server in servers:
                    await server.close()
            return [generated(text.text) for text in texts]

        assert asyncio.run(scenario()) == [("one", 3), ("two", 0)]


def generated(text: str) -> tuple[str, float]:
    """Return the model and the generated tokens of an exposition."""
    (sample,) = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "vllm:generation_tokens_total"
    ]
    return sample.labels["model_name"], sample.value


PROMETHEUS = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: plain
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
- job_name: relabelled
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
  metric_relabel_configs:
  - {{source_labels: [__name__], regex: '(vllm|sglang)_(.+)', target_label: __name__,
     replacement: '$1:$2'}}
"""


@contextlib.contextmanager
def prometheus(directory: Path, target_port: int) -> Iterator[str]:
    """Run Prometheus scraping a simulator under two jobs; give its base URL."""
    config = directory / "prometheus.yml"
    config.write_text(PROMETHEUS.format(port=target_port))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def names_in(base: str, job: str) -> set[str]:
    """Return the metric names Prometheus has of a job; none while it starts."""
    try:
        answer = requests.get(
            f"{base}/api/v1/label/__name__/values",
            params={"match[]": f'{{job="{job}"}}'},
            timeout=DEADLINE_S,
        )
        return set(answer.json()["data"]) if answer.ok else set()
    except requests.ConnectionError:
        return set()


def test_prometheus_needs_the_relabel_rule(shared: Simulated, tmp_path: Path) -> None:
    """Prometheus asks for OpenMetrics, so colons arrive only with the relabel rule."""
    suffix = "num_requests_running"
    with prometheus(tmp_path, shared.port) as base:
        wait_until(
            lambda: all(
                any(name.endswith(suffix) for name in names_in(base, job))
                for job in ("plain", "relabelled")
            ),
            "both jobs scraped",
        )
        plain, relabelled = names_in(base, "plain"), names_in(base, "relabelled")
    assert f"vllm_{suffix}" in plain
    assert not [name for name in plain if name.startswith("vllm:")]
    assert f"vllm:{suffix}" in relabelled
    assert not [name for name in relabelled if name.startswith("vllm_")]
