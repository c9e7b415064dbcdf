"""What mtail and the exporter count is what was sent, through a real Nginx with real backends."""

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.nginx_exporter import nginx_exporter
from lab.processes import await_true
from tests.integration.nginx.access_log_plant import (
    FIRST_S,
    REST_S,
    SILENCE_S,
    Plant,
    access_log_plant,
)
from tests.integration.nginx.cases import log_lines

pytestmark = pytest.mark.integration
NEAR_S = 0.15


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One for all tests, of which each reads pools of its own."""
    with access_log_plant(tmp_path_factory.mktemp("access-log")) as made:
        yield made


@pytest.mark.parametrize(
    ("pool", "times", "status", "code"),
    [("good", 20, 200, "200"), ("bad", 3, 500, "500"), ("dead", 3, 502, "502")],
)
def test_each_answer_counts_for_its_backend(
    plant: Plant, pool: str, times: int, status: int, code: str
) -> None:
    """Answers count by pool, backend and status, also those that Nginx has to make itself."""
    where = plant.address[pool]
    assert plant.ask(pool, times) == [(status, [(where, code)])] * times
    samples = plant.counted(pool, times)
    assert samples.value("nginx_lb_requests_total", pool=pool, code=str(status)) == times
    responses = samples.value("nginx_lb_upstream_responses_total", pool=pool, upstream=where)
    assert responses == times
    assert samples.value("nginx_lb_upstream_responses_total", pool=pool, code=code) == times
    assert samples.value("nginx_lb_retries_total", pool=pool) == 0
    assert samples.value("nginx_lb_broken_total", pool=pool) == 0


def test_a_retry_counts_for_both(plant: Plant) -> None:
    """A request that failed on one backend and succeeded on another is one request, two answers."""
    answers = plant.ask("retry", 12)
    assert {status for status, _ in answers} == {200}
    tries = Counter(each for _, tried in answers for each in tried)
    samples = plant.counted("retry", 12)
    counted = samples.counted("nginx_lb_upstream_responses_total", "pool", "upstream", "code")
    assert {key[1:]: n for key, n in counted.items() if key[0] == "retry"} == tries
    assert samples.value("nginx_lb_retries_total", pool="retry") == tries.total() - 12 > 0
    # The times are those of who answered in the end.
    seconds = samples.counted("nginx_lb_upstream_header_seconds_count", "pool", "upstream")
    assert seconds["retry", plant.address["good"]] == 12
    assert ("retry", plant.address["bad"]) not in seconds


def test_a_backend_that_is_silent(plant: Plant) -> None:
    """A time-out is a 504 of that backend that lasted as long as it was waited for."""
    start_s = time.monotonic()
    assert plant.ask("silent") == [(504, [(plant.address["silent"], "504")])]
    whole_s = time.monotonic() - start_s
    samples = plant.counted("silent", 1)
    assert samples.value("nginx_lb_upstream_responses_total", pool="silent", code="504") == 1
    for name in ("nginx_lb_upstream_response_seconds_sum", "nginx_lb_request_seconds_sum"):
        assert SILENCE_S - NEAR_S < samples.value(name, pool="silent") < whole_s + NEAR_S
    assert samples.value("nginx_lb_upstream_header_seconds_count", pool="silent") == 0


@pytest.mark.parametrize(
    ("pool", "kind", "status"), [("private", "good", 200), ("private-dead", "dead", 502)]
)
def test_who_was_asked_for_leave_is_not_who_answered(
    plant: Plant, pool: str, kind: str, status: int
) -> None:
    """A request that auth_request lets pass counts for its own pool, error pages included."""
    where = plant.address[kind]
    assert plant.ask(pool, 4) == [(status, [(where, str(status))])] * 4
    samples = plant.counted(pool, 4)
    assert samples.value("nginx_lb_requests_total", pool=pool, code=str(status)) == 4
    assert samples.value("nginx_lb_upstream_responses_total", pool=pool, upstream=where) == 4
    assert samples.value("nginx_lb_requests_total", pool="auth") == 0


def test_a_fallback_counts_for_the_pool_that_answered(plant: Plant) -> None:
    """What another pool answered in the end is its request, with the failed try before it."""
    statuses = [status for status, _ in plant.ask("first", 3)]
    assert statuses == [200] * 3
    samples = plant.counted("second", 3)
    assert samples.value("nginx_lb_requests_total", pool="first") == 0
    counted = samples.counted("nginx_lb_upstream_responses_total", "pool", "upstream", "code")
    assert {key[1:]: n for key, n in counted.items() if key[0] == "second" and n} == {
        (plant.address["dead"], "502"): 3,
        (plant.address["good"], "200"): 3,
    }


def test_latencies_are_those_of_the_client(plant: Plant) -> None:
    """A first and a last byte come after the backend sent and before the client has them."""
    with contextlib.closing(plant.connect()) as connection:
        start_s = time.monotonic()
        connection.request("POST", "/late/x", b"{}")
        answer = connection.getresponse()
        first_s = time.monotonic() - start_s
        answer.read()
        whole_s = time.monotonic() - start_s
    samples = plant.counted("late", 1)
    for name, least_s, most_s in (
        ("nginx_lb_upstream_header_seconds", FIRST_S, first_s),
        ("nginx_lb_upstream_response_seconds", FIRST_S + REST_S, whole_s),
        ("nginx_lb_request_seconds", FIRST_S + REST_S, whole_s),
    ):
        assert least_s - NEAR_S < samples.value(f"{name}_sum", pool="late") < most_s + NEAR_S
        assert samples.value(f"{name}_count", pool="late") == 1


def test_shed_requests(plant: Plant) -> None:
    """What a full pool turns away is a 503 that no backend answered; what it took is none."""
    with contextlib.closing(plant.connect()) as taken:
        taken.request("POST", "/full/x", b"{}")
        stream = taken.getresponse()
        assert plant.ask("full", 5) == [(503, [])] * 5
        plant.end.set()
        stream.read()
    samples = plant.counted("full", 6)
    assert samples.value("nginx_lb_shed_total", pool="full") == 5
    assert samples.value("nginx_lb_requests_total", pool="full", code="503") == 5
    assert samples.value("nginx_lb_upstream_responses_total", pool="full") == 1
    assert samples.value("nginx_lb_upstream_responses_total", pool="full", code="200") == 1


def test_clients_that_leave(plant: Plant) -> None:
    """Who leaves before an answer is a 499 of a silent backend; who leaves in it is broken too."""
    plant.end.clear()
    for pool in ("left", "stream"):
        with contextlib.closing(plant.connect()) as connection:
            connection.request("POST", f"/{pool}/x", b"{}")
            if pool == "stream":
                connection.getresponse().read(5)
            else:
                await_true(lambda: _is_asked(plant, "silent"), 5, "Nginx asks the backend")
    samples = plant.counted("left", 1)
    assert samples.value("nginx_lb_requests_total", pool="left", code="499") == 1
    assert samples.value("nginx_lb_upstream_responses_total", pool="left", code="none") == 1
    samples = plant.counted("stream", 1)
    assert samples.value("nginx_lb_requests_total", pool="stream", code="200") == 1
    assert samples.counted("nginx_lb_broken_total", "pool") == {("left",): 1, ("stream",): 1}


def _is_asked(plant: Plant, name: str) -> bool:
    port = int(plant.address[name].rpartition(":")[2])
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(row[2].rpartition(":")[2], 16) == port and row[3] == "01" for row in rows)


def test_bytes_that_are_no_text(plant: Plant) -> None:
    """A client's bytes that are no UTF-8 neither reach the log nor end the counting."""
    host, port = plant.nginx.url.removeprefix("http://").split(":")
    for target in (b"/nowhere/%ff%fe", b"/nowhere/\xff\xe2\x28", b"/nowhere/%e2%28"):
        with socket.create_connection((host, int(port)), timeout=10) as client:
            head = b"Host: x\r\nUser-Agent: \xff\xfe\r\nConnection: close\r\n\r\n"
            client.sendall(b"GET " + target + b" HTTP/1.1\r\n" + head)
            assert client.recv(12) == b"HTTP/1.1 404"
    samples = plant.counted("none", 3)
    assert samples.value("nginx_lb_requests_total", pool="none", code="404") == 3
    assert samples.value("nginx_lb_unparsed_total") == 0
    assert log_lines(plant.nginx)


def test_totals_of_the_exporter(plant: Plant, tmp_path: Path) -> None:
    """The exporter counts each request and connection, its own question being one of them."""
    with nginx_exporter(tmp_path, f"{plant.nginx.status_url}/stub_status") as exporter:
        before = exporter.samples()
        plant.ask("good", 7)
        after = exporter.samples()
    assert after.value("nginx_up") == 1
    for name in (
        "nginx_http_requests_total",
        "nginx_connections_accepted",
        "nginx_connections_handled",
    ):
        assert after.value(name) - before.value(name) == 7 + 1
    for name in ("active", "reading", "writing", "waiting"):
        assert any(sample.name == f"nginx_connections_{name}" for sample in after.all)
