"""What counts as confirmed, against a server that answers as it is told."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from controller.adapters.nginx import Endpoint, probe
from controller.adapters.nginx.probe import CONFIRM_SPREAD_S, CONFIRMATIONS, ask, confirm

pytestmark = pytest.mark.integration


@contextlib.contextmanager
def server(answer: Callable[[int], bytes]) -> Iterator[tuple[Endpoint, list[float]]]:
    """A server that gives the nth connection the nth answer; and when each one came."""
    times: list[float] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for number in itertools.count():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                times.append(time.monotonic())
                connection.recv(4096)
                connection.sendall(answer(number))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Endpoint("/g", "127.0.0.1", listening.getsockname()[1]), times
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def ok(body: str) -> bytes:
    """A sound HTTP answer."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def test_five_answers_over_a_quarter_of_a_second() -> None:
    """A generation is confirmed by five answers, each on its own connection, over 250 ms."""
    with server(lambda _: ok("new\n")) as (endpoint, times):
        assert confirm(endpoint, "new", 5) is None
    assert len(times) >= CONFIRMATIONS
    assert times[-1] - times[0] >= CONFIRM_SPREAD_S * 0.99


def test_old_worker_between_new_ones_starts_the_count_again() -> None:
    """One answer of another generation, or one error, and the five have to come anew."""
    with server(lambda n: ok("old") if n == 3 else b"" if n == 6 else ok("new")) as (
        endpoint,
        times,
    ):
        assert confirm(endpoint, "new", 5) is None
    assert len(times) >= 7 + CONFIRMATIONS


def test_what_was_seen_instead_is_told() -> None:
    """Past the deadline the last other answer is given back."""
    with server(lambda _: ok("old")) as (endpoint, _):
        seen = confirm(endpoint, "new", 0.3)
    assert seen is not None
    assert seen.generation == "old"


def test_an_answer_that_the_deadline_cuts_off_says_nothing() -> None:
    """What Nginx served until then is told, not that the last question had too little time."""
    over = threading.Event()

    def answer(number: int) -> bytes:
        if number > 0:
            over.wait(30)
        return ok("old")

    with server(answer) as (endpoint, _):
        seen = confirm(endpoint, "new", 0.3)
        over.set()
    assert seen is not None
    assert seen.generation == "old"


def test_silence_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing costs the deadline, however long one answer may."""
    monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started_s = time.monotonic()
        seen = confirm(Endpoint("/g", "127.0.0.1", silent.getsockname()[1]), "new", 0.4)
        assert time.monotonic() - started_s < 30
    assert seen is not None
    assert "timed out" in seen.detail


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP 404, expected 200"),
        (ok("<html>"), "'<html>' is no generation"),
        (ok(""), "'' is no generation"),
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"", "closed connection"),
    ],
)
def test_answer_that_is_no_generation(raw: bytes, said: str) -> None:
    """Anything but a generation is told in words, never raised."""
    with server(lambda _: raw) as (endpoint, _):
        answer = ask(endpoint)
    assert answer.generation is None
    assert said in answer.detail
