"""Nginx between clients and servers: least_conn by weight, limits, retries, reloads."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from controller.core.render import parse
from lab.incidents.access_log import AccessLog
from lab.incidents.engine import Request
from lab.incidents.server import Server
from lab.incidents.upstream import Line, choose

_WORKERS = 2
# As deploy/nginx/render.sh sets them.
_TRIES = 3
# A client that sees nothing for so long goes away.
_PATIENCE_S = 40.0
_IDLE_CLIENTS = 24
# Clients keep their connections for some requests.
_REQUESTS_PER_CONNECTION = 8
_CONNECT_S = 0.002
# The label that tells its exporter from those of other Nginxes; its scrape job adds it.
_MARK = '{lb="vllm-nginx-lb"}'


@dataclass(slots=True)
class _Flight:
    """A request on its way, and the servers that were asked before."""

    line: Line
    tries: list[tuple[str, str]] = field(default_factory=list)


class Nginx:
    """The entry point.

    Attributes:
        generation: What it serves.
        text: The upstream file it has loaded.
        log: What mtail makes of its access log.
    """

    def __init__(self, servers: Iterable[Server], shedding: frozenset[str]) -> None:
        self._servers: Mapping[str, Server] = {one.place.endpoint: one for one in servers}
        self._shedding = shedding
        self._lines: dict[str, list[Line]] = {}
        self._flights: dict[Request, _Flight] = {}
        self._loads = 0
        self._requests = 0
        self.generation: str | None = None
        self.text = ""
        self.log = AccessLog()

    def load(self, text: str) -> None:
        """Reload: new workers know nothing of the requests that the old ones still serve."""
        found = parse(text)
        if found is None:
            raise ValueError("not an upstream file of this project")
        self._loads += 1
        self.generation, self.text = found.generation, text
        self._lines = {
            pool: [
                Line(
                    found.endpoints.get(one.address, one.address),
                    *(one.weight, one.down, one.max_conns, self._loads),
                )
                for one in servers
            ]
            for pool, servers in found.pools.items()
        }

    @property
    def lingering_workers(self) -> int:
        """Old workers that finish streams."""
        loads = {flight.line.load for flight in self._flights.values()}
        return _WORKERS * len(loads - {self._loads})

    @property
    def live_workers(self) -> int:
        """Workers that accept connections."""
        return _WORKERS

    def take(self, request: Request, tries: list[tuple[str, str]] | None = None) -> None:
        """Send a request to a server, or turn it away."""
        now_s, tries = request.arrival_s, tries or []
        if not tries:
            self._requests += 1
        while len(tries) < _TRIES:
            pool, asked = request.pool, {endpoint for endpoint, _ in tries}
            line = choose(self._lines[pool], now_s, asked, sheds=pool in self._shedding)
            if line is None:
                break
            server = self._servers[line.endpoint]
            line.sent += 1
            if not server.up:
                line.refuse(now_s)
                tries.append((line.endpoint, "502"))
                continue
            if server.failing:
                server.answered(500)
                tries.append((line.endpoint, "500"))
                self._write(request, 500, tries, 0.01, 0.01)
                return
            line.in_flight += 1
            self._flights[request] = _Flight(line, tries)
            server.engine.queue.append(request)
            return
        if tries:
            self._write(request, 502, tries, None, 0.01)
        else:
            self.log.shed(request.pool)

    def completed(self, request: Request) -> None:
        """A server has sent the last byte."""
        flight = self._end(request)
        self._servers[flight.line.endpoint].answered(200)
        total_s = (request.finished_s or 0) - request.arrival_s + _CONNECT_S
        tries = [*flight.tries, (flight.line.endpoint, "200")]
        self._write(request, 200, tries, self._header_s(request), total_s)

    def lost(self, requests: Iterable[Request], now_s: float) -> None:
        """A server died: streams break, all else is tried elsewhere."""
        for request in requests:
            flight = self._end(request)
            if request.first_s is not None and request.first_s <= now_s:
                self._break(request, flight, 200, now_s)
            else:
                request.first_s, request.scheduled_s, request.left = None, None, request.output
                self.take(request, [*flight.tries, (flight.line.endpoint, "502")])

    def lose_patience(self, now_s: float) -> None:
        """Clients that have waited for too long go away."""
        for request, flight in list(self._flights.items()):
            server = self._servers[flight.line.endpoint]
            silent = request.first_s is None or request.first_s > now_s or server.engine.frozen
            if silent and now_s - request.arrival_s > _PATIENCE_S:
                self._end(request)
                server.engine.drop(request)
                server.aborted()
                streaming = request.first_s is not None and request.first_s <= now_s
                self._break(request, flight, 200 if streaming else 499, now_s)

    def samples(self) -> Iterator[tuple[str, float]]:
        """What the exporter makes of stub_status."""
        writing, accepted = len(self._flights) + 1, self._requests // _REQUESTS_PER_CONNECTION
        yield f"nginx_up{_MARK}", 1
        yield f"nginx_connections_accepted{_MARK}", accepted
        yield f"nginx_connections_handled{_MARK}", accepted
        yield f"nginx_connections_active{_MARK}", writing + _IDLE_CLIENTS
        yield f"nginx_connections_reading{_MARK}", 0
        yield f"nginx_connections_writing{_MARK}", writing
        yield f"nginx_connections_waiting{_MARK}", _IDLE_CLIENTS
        yield f"nginx_http_requests_total{_MARK}", self._requests

    def _end(self, request: Request) -> _Flight:
        flight = self._flights.pop(request)
        flight.line.in_flight -= 1
        return flight

    @staticmethod
    def _header_s(request: Request) -> float:
        return (request.first_s or 0) - request.arrival_s + _CONNECT_S

    def _break(self, request: Request, flight: _Flight, code: int, now_s: float) -> None:
        told, header_s = ("200", self._header_s(request)) if code == 200 else ("none", None)  # noqa: PLR2004 - the status
        tries = [*flight.tries, (flight.line.endpoint, told)]
        total_s = now_s - request.arrival_s
        self._write(request, code, tries, header_s, total_s, whole=False)

    def _write(
        self,
        request: Request,
        code: int,
        tries: list[tuple[str, str]],
        header_s: float | None,
        total_s: float,
        *,
        whole: bool = True,
    ) -> None:
        self.log.line(
            request.pool, code=code, tries=tries, header_s=header_s, total_s=total_s, whole=whole
        )
