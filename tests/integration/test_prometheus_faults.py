"""Whatever answers instead of Prometheus, or does not, the source fails in time and says why."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.adapters.prometheus import Endpoint, PoolQuery, PrometheusClient, PrometheusSource
from controller.core.errors import SourceFault
from controller.core.model import Signal
from lab.processes import await_true, free_port
from tests.integration.prometheus_faults import Told, always, raw, serving, silent, success

pytestmark = pytest.mark.integration

POOL = PoolQuery(name="llm", signals=(Signal.RUNNING,), static={"a:1": "a:1"})
# Of a server that is there to be waited for in vain; the others get the time of a tick.
TIMEOUT_S = 0.5
TICK_S = 10.0
# Two processors shared with other servers: late is not unbounded.
PATIENCE_S = 2.0
REFUSED_QUERY = {
    "status": "error",
    "errorType": "bad_data",
    "error": "1:8: parse error: unexpected character: '!'",
}


@contextmanager
def source(
    url: str, timeout_s: float = TICK_S, max_answer_bytes: int = 1 << 20
) -> Iterator[PrometheusSource]:
    """A source of one pool at an address."""
    client = PrometheusClient(
        Endpoint(url=url, timeout_s=timeout_s, max_answer_bytes=max_answer_bytes)
    )
    try:
        yield PrometheusSource(client, [POOL])
    finally:
        client.close()


def fault_of(
    url: str, timeout_s: float = TICK_S, max_answer_bytes: int = 1 << 20
) -> tuple[SourceFault, str]:
    """The fault of one observation, and its sentence."""
    with source(url, timeout_s, max_answer_bytes) as asking:
        snapshot = asking.observe(1000.0)
    assert snapshot.at_s == 1000.0
    assert snapshot.pools == {}
    assert snapshot.error is not None
    return snapshot.error.fault, str(snapshot.error)


@pytest.mark.parametrize(
    ("told", "fault", "said"),
    [
        (Told(400, json.dumps(REFUSED_QUERY)), SourceFault.BAD_QUERY, "unexpected character"),
        (Told(422, json.dumps(REFUSED_QUERY)), SourceFault.BAD_QUERY, "unexpected character"),
        (Told(400, "plain HTTP sent", "text/plain"), SourceFault.NOT_PROMETHEUS, "plain HTTP"),
        (Told(401, "", "text/plain"), SourceFault.UNAUTHORISED, "401"),
        (Told(403, "tenant?", "text/plain"), SourceFault.UNAUTHORISED, "tenant?"),
        (Told(503, "Service Unavailable"), SourceFault.UNAVAILABLE, "503: Service Unavailable"),
        (Told(404, "404 page not found"), SourceFault.UNAVAILABLE, "404"),
        (Told(302, "", headers={"Location": "/login"}), SourceFault.UNAVAILABLE, "/login"),
        (Told(200, "<html>log in</html>", "text/html"), SourceFault.NOT_PROMETHEUS, "<html>"),
        (Told(200, json.dumps(REFUSED_QUERY)), SourceFault.NOT_PROMETHEUS, "unexpected character"),
        (Told(200, success().body[:-9]), SourceFault.NOT_PROMETHEUS, "complete JSON"),
        (Told(200, ""), SourceFault.NOT_PROMETHEUS, "complete JSON"),
        (Told(200, "[" * 100_000), SourceFault.NOT_PROMETHEUS, "complete JSON"),
        (Told(200, "[1, 2]"), SourceFault.NOT_PROMETHEUS, "not of the Prometheus API"),
        (Told(200, '{"status":"success"}'), SourceFault.NOT_PROMETHEUS, "without success"),
        (Told(200, '{"status":"success","data":{}}'), SourceFault.NOT_PROMETHEUS, "no result"),
        (
            Told(200, '{"status":"success","data":{"result":{"a":1}}}'),
            SourceFault.NOT_PROMETHEUS,
            "no list",
        ),
    ],
)
def test_wrong_answer_is_named(told: Told, fault: SourceFault, said: str) -> None:
    """Each answer that is no result has its fault, and the message quotes what was said."""
    with always(told) as server:
        found, message = fault_of(server.url)
        assert (found, said in message) == (fault, True), message
        assert len(server.asked) == 1


def test_foreign_series_are_no_result() -> None:
    """Series that answer no question of ours spoil the whole answer: something else spoke."""
    told = Told(200, '{"status":"success","data":{"result":[{"metric":{"job":"x"}}]}}')
    with always(told) as server:
        fault, message = fault_of(server.url)
    assert fault is SourceFault.NOT_PROMETHEUS
    assert "another shape" in message


def test_refused_connection() -> None:
    """Nobody listening is a refusal, in the words of the operating system."""
    fault, message = fault_of(f"http://127.0.0.1:{free_port()}")
    assert fault is SourceFault.REFUSED
    assert message.endswith("Connection refused")


def test_unknown_name() -> None:
    """A host name that does not exist is a refusal."""
    fault, _ = fault_of("http://prometheus.invalid:9090", timeout_s=30)
    assert fault is SourceFault.REFUSED


def test_silence_times_out() -> None:
    """A server that never answers costs the time allowed, once, and no more."""
    with silent() as url:
        started_s = time.monotonic()
        fault, _ = fault_of(url, TIMEOUT_S)
        assert fault is SourceFault.TIMED_OUT
        assert TIMEOUT_S <= time.monotonic() - started_s < TIMEOUT_S + PATIENCE_S


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x"),
    ],
    ids=["body", "chunks", "headers"],
)
def test_drip_is_bounded_in_total(first: bytes, drip: bytes) -> None:
    """A server that always sends one more byte in time cannot hold a tick beyond its time."""
    with raw(first, drip) as url:
        started_s = time.monotonic()
        fault, _ = fault_of(url, TIMEOUT_S)
        assert fault is SourceFault.TIMED_OUT
        assert time.monotonic() - started_s < TIMEOUT_S + PATIENCE_S


def test_hanging_requests_do_not_pile_up() -> None:
    """Requests whose headers never end are left behind, but only so many of them."""
    older = set(threading.enumerate())
    with raw(b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x") as url, source(url, timeout_s=0.2) as asking:

        def is_refused() -> bool:
            before = asking.requests_made
            snapshot = asking.observe(0.0)
            assert snapshot.error is not None
            assert snapshot.error.fault is SourceFault.TIMED_OUT
            names = [thread.name for thread in set(threading.enumerate()) - older]
            assert names.count("prometheus-request") <= 8
            return "still hang" in str(snapshot.error) and asking.requests_made == before

        await_true(is_refused, 60, "no further request is made")


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"", SourceFault.REFUSED),
        (b"SSH-2.0-OpenSSH_9.2\r\n", SourceFault.NOT_PROMETHEUS),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", SourceFault.NOT_PROMETHEUS),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
            SourceFault.NOT_PROMETHEUS,
        ),
    ],
    ids=["nothing", "another protocol", "cut off", "cut off in chunks"],
)
def test_broken_connection(sent: bytes, fault: SourceFault) -> None:
    """A connection that ends too early is a refusal without an answer, else no Prometheus."""
    with raw(sent) as url:
        found, _ = fault_of(url)
        assert found is fault


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        ("400 Bad Request", SourceFault.NOT_PROMETHEUS),
        ("401 Unauthorized", SourceFault.UNAUTHORISED),
        ("503 Service Unavailable", SourceFault.UNAVAILABLE),
    ],
)
def test_a_failure_that_breaks_off_keeps_its_status(status: str, fault: SourceFault) -> None:
    """What was told of a failure before the connection broke is told, and its status counts."""
    with raw(f"HTTP/1.1 {status}\r\nContent-Length: 1000\r\n\r\nwrong door".encode()) as url:
        found, message = fault_of(url)
        assert found is fault
        assert message.endswith(f"answered {status[:3]}: wrong door")


def test_answer_beyond_the_limit_is_not_read_to_its_end() -> None:
    """An answer larger than allowed is given up."""
    with always(Told(200, " " * 300_000)) as server:
        fault, message = fault_of(server.url, max_answer_bytes=100_000)
        assert fault is SourceFault.NOT_PROMETHEUS
        assert "more than 100000 bytes" in message


def test_warnings_reach_the_snapshot() -> None:
    """What Prometheus says beside a result is kept once, and never for the next observation."""
    told = [
        success(warnings=["partial response"], infos=["a counter?"]),
        success(warnings=["partial response", "store x down"]),
        success(),
        success(),
    ]
    rest = iter(told)
    with serving(lambda _: next(rest)) as server, source(server.url) as asking:
        first, second = asking.observe(0.0), asking.observe(1.0)
    assert first.error is None
    assert first.warnings == ("partial response", "store x down")
    assert second.warnings == ()
