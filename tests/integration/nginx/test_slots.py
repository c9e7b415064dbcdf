"""Slots: a full server spills over, or the pool turns away what it has no slot for."""

import contextlib
import http.client
import json
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.adapters.nginx import LocalNginx
from controller.core.model import Server
from controller.core.render import Rendered, Upstream, UpstreamOptions, WhenFull, render
from lab.nginx import RunningNginx, nginx, render_conf
from lab.processes import await_true, free_port
from simulator.fleet.worlds import Line
from tests.integration.nginx.cases import (
    backend,
    local_settings,
    log_lines,
    open_files,
    way_to,
    workers,
)
from tests.unit.fleet.fleets import Nginx

pytestmark = pytest.mark.integration
POOL = "llm"


def pool_of(
    servers: Sequence[Server], when_full: WhenFull = WhenFull.SPILL, keepalive: int = 64
) -> Rendered:
    """A file with one pool; another `keepalive` is another generation of the same servers."""
    options = UpstreamOptions(when_full=when_full, keepalive=keepalive)
    return render([Upstream(POOL, servers, options)])


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer of which the head has come and the rest has not.

    Attributes:
        connection: Its own.
        head: Status and headers.
        tried: The servers it was sent to, the last one being who answers; without the pool's name,
            which stands there when nobody did.
        end: Lets its backend finish.
    """

    connection: http.client.HTTPConnection
    head: http.client.HTTPResponse
    tried: tuple[str, ...]
    end: threading.Event

    def finish(self) -> None:
        """Let it end, and return when Nginx has counted it out."""
        self.end.set()
        self.head.read()
        self.connection.close()


@dataclass(slots=True)
class Engines:
    """Backends that answer at once and do not end before they are told, and streams from them."""

    addresses: list[str]
    ends: Mapping[str, threading.Event]
    streams: list[Stream] = field(default_factory=list)

    def open(self, running: RunningNginx) -> Stream:
        """Ask for one more stream."""
        connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=20)
        path = f"/v1/{len(self.streams)}"
        # Made here: made by the backend's thread at the same moment, it would be another one.
        end = self.ends[path]
        connection.request("POST", path, b'{"stream": true}')
        head = connection.getresponse()
        words = (head.headers["X-Upstream-Addr"] or "").split(", ")
        tried = tuple(word for word in words if word != POOL)
        stream = Stream(connection, head, tried, end)
        self.streams.append(stream)
        return stream

    def close(self) -> None:
        """Let everything end."""
        for stream in self.streams:
            stream.end.set()
            stream.head.close()
            stream.connection.close()


@pytest.fixture
def engines() -> Iterator[Engines]:
    """Three of them, in the order in which Nginx has them."""
    ends: defaultdict[str, threading.Event] = defaultdict(threading.Event)
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(backend(stream=ends)) for _ in range(3)]
        made = Engines(sorted(each.address for each in running), ends)
        stack.callback(made.close)
        yield made


def dead_address() -> str:
    """An address that refuses connections."""
    return f"127.0.0.1:{free_port()}"


def status_and_code(stream: Stream) -> tuple[int, str]:
    """The status, and the code in the body of an error."""
    return stream.head.status, json.loads(stream.head.read())["error"]["code"]


@pytest.mark.parametrize("way", ["local", "shared"])
def test_a_full_server_spills_and_nothing_is_shed(
    tmp_path: Path, engines: Engines, way: str
) -> None:
    """Slots are filled first, however unlike the weights are, and after that everybody serves."""
    fast, slow, _ = engines.addresses
    wanted = pool_of([Server(fast, 100, max_conns=3), Server(slow, 10, max_conns=2)])
    with nginx(tmp_path) as running:
        with way_to(running, way) as actuator:  # type: ignore[arg-type]  # one of WAYS
            actuator.apply(wanted.generation, wanted.text)
        within = Counter(engines.open(running).tried for _ in range(5))
        assert within == {(fast,): 3, (slow,): 2}
        beyond = [engines.open(running) for _ in range(20)]
    assert {stream.head.status for stream in beyond} == {200}
    shares = Counter(stream.tried for stream in beyond)
    assert shares.keys() == {(fast,), (slow,)}
    assert shares[(fast,)] > 5 * shares[(slow,)]


def test_a_slot_that_is_free_again_is_taken_before_a_backup(
    tmp_path: Path, engines: Engines
) -> None:
    """Spilling lasts no longer than the pool is full."""
    first, second, _ = engines.addresses
    text = pool_of([Server(first, max_conns=2), Server(second, max_conns=2)]).text
    with nginx(tmp_path, upstream_text=text) as running:
        streams = [engines.open(running) for _ in range(12)]
        streams[1].finish()
        assert engines.open(running).tried == streams[1].tried
        streams[0].finish()
        assert engines.open(running).tried == streams[0].tried


def test_a_full_pool_that_sheds_answers_at_once(tmp_path: Path, engines: Engines) -> None:
    """Beyond the slots a client gets a 503 of the API and a time to come again, from no engine."""
    first, second, _ = engines.addresses
    servers = [Server(first, max_conns=2), Server(second, 50, max_conns=1)]
    with nginx(tmp_path, upstream_text=pool_of(servers, WhenFull.SHED).text) as running:
        within = [engines.open(running) for _ in range(3)]
        assert Counter(stream.tried for stream in within) == {(first,): 2, (second,): 1}
        shed = [engines.open(running) for _ in range(20)]
        for stream in shed:
            assert stream.tried == ()
            assert status_and_code(stream) == (503, "overloaded")
            assert stream.head.headers["Content-Type"] == "application/json"
        assert {stream.head.headers["Retry-After"] for stream in shed} == {"1", "2"}
        # No answer of an engine has one, nor does one that is not shed.
        assert {stream.head.headers["Retry-After"] for stream in within} == {None}
        within[0].finish()
        again = engines.open(running)
        assert (again.head.status, again.tried) == (200, within[0].tried)
        await_true(lambda: len(log_lines(running)) > len(shed), 5, "all that ended is logged")
        logged = Counter(
            (line["shed"], line["status"], line["upstream_addr"]) for line in log_lines(running)
        )
    assert logged == {(True, 503, POOL): 20, (False, 200, within[0].tried[0]): 1}


def test_the_time_to_come_again_can_be_set(tmp_path: Path, engines: Engines) -> None:
    """LB_RETRY_AFTER is the least of two times, which are drawn."""
    text = pool_of([Server(engines.addresses[0], max_conns=1)], WhenFull.SHED).text
    with nginx(tmp_path, upstream_text=text, LB_RETRY_AFTER="30") as running:
        engines.open(running)
        told = {engines.open(running).head.headers["Retry-After"] for _ in range(20)}
    assert told == {"30", "31"}
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        render_conf({"LB_RETRY_AFTER": "30s"})
    assert refusal.value.stderr == "render.sh: LB_RETRY_AFTER=30s: expected whole seconds\n"


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_error_of_an_engine_is_its_own(tmp_path: Path, status: int) -> None:
    """In a pool that sheds an engine's own error passes to the client, to the letter."""
    with backend(status=status, body="its own words") as one:
        text = pool_of([Server(one.address, max_conns=4)], WhenFull.SHED).text
        with nginx(tmp_path, upstream_text=text) as running:
            host = running.url.removeprefix("http://")
            with contextlib.closing(http.client.HTTPConnection(host, timeout=20)) as connection:
                connection.request("POST", "/v1/completions", b"{}")
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (status, b"its own words")
                assert answer.headers["Retry-After"] is None
            await_true(lambda: bool(log_lines(running)), 5, "it is logged")
            (line,) = log_lines(running)
    assert (line["shed"], line["upstream_addr"]) == (False, one.address)


def test_a_dead_server_beside_full_ones(tmp_path: Path, engines: Engines) -> None:
    """Requests go from it to the backups, and it is given up once as a primary and once as one."""
    first, second, _ = engines.addresses
    dead = dead_address()
    servers = [Server(dead, max_conns=9), *(Server(each, max_conns=1) for each in (first, second))]
    with nginx(tmp_path, upstream_text=pool_of(servers).text, LB_WORKERS="1") as running:
        streams = [engines.open(running) for _ in range(12)]
    assert {stream.head.status for stream in streams} == {200}
    # max_fails is 2, for the primary line and for the backup line on their own.
    assert Counter(word for stream in streams for word in stream.tried)[dead] == 4


def test_a_dead_server_takes_no_room_from_a_pool_that_sheds(
    tmp_path: Path, engines: Engines
) -> None:
    """What the dead server cannot take is shed when the others are full, tried or not."""
    first = engines.addresses[0]
    dead = dead_address()
    servers = [Server(dead, max_conns=9), Server(first, max_conns=1)]
    text = pool_of(servers, WhenFull.SHED).text
    with nginx(tmp_path, upstream_text=text, LB_WORKERS="1") as running:
        streams = [engines.open(running) for _ in range(6)]
        assert streams[0].tried[-1] == first
        assert {status_and_code(stream) for stream in streams[1:]} == {(503, "overloaded")}
        tried = Counter(word for stream in streams for word in stream.tried)
    assert tried == {first: 1, dead: 2}


def test_when_every_connection_fails_it_is_a_bad_gateway(tmp_path: Path) -> None:
    """A pool of dead servers is not full: 502 for who tried them, 503 while nobody may."""
    servers = [Server(dead_address(), max_conns=9) for _ in range(2)]
    text = pool_of(servers, WhenFull.SHED).text
    engines = Engines([], defaultdict(threading.Event))
    with contextlib.closing(engines), nginx(tmp_path, upstream_text=text, LB_WORKERS="1") as front:
        found = [status_and_code(engines.open(front)) for _ in range(4)]
    assert found == [(502, "bad_gateway")] * 2 + [(503, "overloaded")] * 2


def workers_with_streams(running: RunningNginx) -> list[int]:
    """How many sockets each worker has."""
    return [
        sum(target.startswith("socket:") for target in open_files(pid)) for pid in workers(running)
    ]


def test_workers_share_the_slots(tmp_path: Path, engines: Engines) -> None:
    """Two workers that both have streams let in no more than one would."""
    first, second, _ = engines.addresses
    servers = [Server(first, max_conns=10), Server(second, max_conns=10)]
    # Each worker has a queue of its own, and the kernel draws one for each connection.
    listen = f"127.0.0.1:{free_port()} reuseport"
    with nginx(
        tmp_path,
        upstream_text=pool_of(servers, WhenFull.SHED).text,
        LB_WORKERS="2",
        LB_LISTEN=listen,
    ) as running:
        await_true(lambda: len(workers(running)) == 2, 10, "both workers are there")
        idle = workers_with_streams(running)
        streams = [engines.open(running) for _ in range(40)]
        busy = workers_with_streams(running)
    assert [stream.head.status for stream in streams] == [200] * 20 + [503] * 20
    assert all(now > before for now, before in zip(busy, idle, strict=True))


def test_a_reload_forgets_what_is_in_flight(tmp_path: Path, engines: Engines) -> None:
    """Its workers know of no stream, so they let the slots be taken once more."""
    first, second, _ = engines.addresses
    servers = [Server(first, max_conns=2), Server(second, max_conns=1)]
    with nginx(tmp_path, upstream_text=pool_of(servers, WhenFull.SHED).text) as running:
        assert [engines.open(running).head.status for _ in range(4)] == [200] * 3 + [503]
        changed = pool_of(servers, WhenFull.SHED, keepalive=9)
        LocalNginx(local_settings(running)).apply(changed.generation, changed.text)
        assert [engines.open(running).head.status for _ in range(4)] == [200] * 3 + [503]


LIMITS = ((3, 2, 1, 2), (4, None, 2, 1), (None, None, None, None), (1, 1, 1, 1))


@pytest.mark.parametrize("when_full", WhenFull)
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("tries", [0, 3])
def test_the_fleet_chooses_as_nginx_does(
    tmp_path: Path,
    engines: Engines,
    *,
    when_full: WhenFull,
    limits: tuple[int | None, ...],
    tries: int,
) -> None:
    """Every server that a request is sent to is the one that the simulated Nginx names."""
    addresses = sorted([*engines.addresses, dead_address()])
    dead = {place for place, each in enumerate(addresses) if each not in engines.addresses}
    weights = (100, 50, 25, 70)
    servers = [
        Server(address, weight, max_conns=limit)
        for address, weight, limit in zip(addresses, weights, limits, strict=True)
    ]
    lines = [
        Line(weight, max_conns=None if when_full is WhenFull.IGNORE else limit)
        for weight, limit in zip(weights, limits, strict=True)
    ]
    spill = when_full is WhenFull.SPILL
    fleet = Nginx(lines, spill=spill, tries=tries)
    routes: list[list[int]] = []

    def opened(running: RunningNginx, count: int) -> None:
        for _ in range(count):
            stream = engines.open(running)
            routes.append(fleet.route(dead))
            assert stream.tried == tuple(addresses[line % len(lines)] for line in routes[-1])

    def finished(*places: int) -> None:
        for place in places:
            if engines.streams[place].head.status == 200:
                engines.streams[place].finish()
                fleet.answer(routes[place][-1], 100.0)

    started = pool_of(servers, when_full)
    with nginx(
        tmp_path, upstream_text=started.text, LB_WORKERS="1", LB_RETRY_TRIES=str(tries)
    ) as running:
        opened(running, 12)
        finished(0, 1, 5, 11)
        opened(running, 8)
        changed = pool_of(servers, when_full, keepalive=9)
        LocalNginx(local_settings(running)).apply(changed.generation, changed.text)
        fleet.configure(lines, spill=spill)
        opened(running, 12)
