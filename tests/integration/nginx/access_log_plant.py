"""An Nginx with a pool for each kind of backend, and an mtail that reads its access log."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.core.model import Server
from controller.core.render import Upstream, UpstreamOptions, WhenFull, render
from lab.exposition import Samples
from lab.mtail import RunningMtail, mtail
from lab.nginx import RunningNginx, nginx
from lab.processes import await_true, free_port
from tests.integration.nginx.cases import backend

# A backend that is silent for longer is given up.
SILENCE_S = 1.0
FIRST_S, REST_S = 0.3, 0.4
# What the location of a pool has besides, if anything.
EXTRA = {"silent": f"proxy_read_timeout {SILENCE_S:g}s; "}


# Locations of more than a proxy_pass, as a user would write them.
LOCATIONS = """
location = /auth {
    internal;
    proxy_pass http://auth;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    proxy_set_header X-LB-Pool $lb_remember_pool;
}
location = /auth-as-documented {
    internal;
    proxy_pass http://auth;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    proxy_set_header X-LB-Pool "";
}
location /private/ { auth_request /auth; proxy_pass http://private; }
location /private-dead/ { auth_request /auth-as-documented; proxy_pass http://private-dead; }
location /first/ { error_page 502 = @second; proxy_pass http://first; }
location @second { proxy_pass http://second; }
"""


@dataclass(frozen=True, slots=True)
class Plant:
    """An Nginx with a pool for each kind of backend, and an mtail that reads its log."""

    nginx: RunningNginx
    mtail: RunningMtail
    address: dict[str, str]
    end: threading.Event

    def connect(self) -> http.client.HTTPConnection:
        """A new connection to the entry point."""
        return http.client.HTTPConnection(self.nginx.url.removeprefix("http://"), timeout=10)

    def ask(self, pool: str, times: int = 1) -> list[tuple[int, list[tuple[str, str]]]]:
        """The status of each answer, and who was tried with which result, as the client is told."""
        answers = []
        for _ in range(times):
            with contextlib.closing(self.connect()) as connection:
                connection.request("POST", f"/{pool}/x", b"{}")
                answer = connection.getresponse()
                answer.read()
            addresses = (answer.headers["X-Upstream-Addr"] or "").split(", ")
            statuses = (answer.headers["X-Upstream-Status"] or "").split(", ")
            tried = [each for each in zip(addresses, statuses, strict=True) if ":" in each[0]]
            answers.append((answer.status, tried))
        return answers

    def counted(self, pool: str, requests: int) -> Samples:
        """What mtail knows once it has this many requests of the pool, which are all."""

        def all_read() -> bool:
            return self.mtail.samples().value("nginx_lb_requests_total", pool=pool) >= requests

        await_true(all_read, 10, f"{requests} requests of {pool} counted")
        samples = self.mtail.samples()
        assert samples.value("nginx_lb_requests_total", pool=pool) == requests
        return samples


@contextlib.contextmanager
def late_backend() -> Iterator[str]:
    """One answer: its head after FIRST_S, its end REST_S later."""
    pause = threading.Event()

    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            pause.wait(FIRST_S)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: first\n\n")
            pause.wait(REST_S)
            connection.sendall(b"data: last\n\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    thread.join(5)


@contextlib.contextmanager
def access_log_plant(directory: Path) -> Iterator[Plant]:
    """Everything at once: pools have nothing to do with each other."""
    end = threading.Event()
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = {
            "good": stack.enter_context(backend()).address,
            "bad": stack.enter_context(backend(status=500)).address,
            "stream": stack.enter_context(backend(stream=end)).address,
            "late": stack.enter_context(late_backend()),
            "silent": f"127.0.0.1:{silent.getsockname()[1]}",
            "dead": f"127.0.0.1:{free_port()}",
        }
        stack.callback(end.set)
        pools = [Upstream(name, [Server(where)]) for name, where in address.items()]
        pools += [
            Upstream("retry", [Server(address["bad"]), Server(address["good"])]),
            Upstream("left", [Server(address["silent"])]),
            Upstream(
                "full",
                [Server(address["stream"], max_conns=1)],
                UpstreamOptions(when_full=WhenFull.SHED),
            ),
        ]
        where_of = {"auth": "good", "private": "good", "private-dead": "dead"}
        where_of |= {"first": "dead", "second": "good"}
        others = [Upstream(name, [Server(address[kind])]) for name, kind in where_of.items()]
        (directory / "locations.d").mkdir()
        (directory / "locations.d" / "pools.conf").write_text(
            "".join(
                f"location /{p.name}/ {{ {EXTRA.get(p.name, '')}proxy_pass http://{p.name}; }}\n"
                for p in pools
            )
            + LOCATIONS
        )
        running = stack.enter_context(
            nginx(
                directory,
                pool="good",
                upstream_text=render(pools + others).text,
            )
        )
        reader = stack.enter_context(mtail(directory / "mtail", running.access_log))
        yield Plant(running, reader, address, end)
