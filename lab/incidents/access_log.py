"""What mtail makes of Nginx's access log, counted without the log in between."""

from collections.abc import Iterable

from lab.incidents.tally import Tally

# As deploy/mtail/nginx_lb.mtail has them; Go writes whole bounds without a fraction.
_REQUEST = (0.1, 0.25, 0.5, 1, 2, 2.5, 5, 10, 30, 60, 120, 300, 600)
_HEADER = (0.1, 0.25, 0.5, 1, 2, 2.5, 5, 10, 30, 60)
_RESPONSE = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class AccessLog:
    """Counters by pool and upstream.

    Attributes:
        tally: What mtail publishes.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.tally.counters["nginx_lb_unparsed_total"] = 0

    def shed(self, pool: str) -> None:
        """A request that no server could be asked for."""
        self._client(pool, 503, 0.0005)
        self.tally.counters[f'nginx_lb_shed_total{{pool="{pool}"}}'] += 1

    def line(
        self,
        pool: str,
        *,
        code: int,
        tries: Iterable[tuple[str, str]],
        header_s: float | None,
        total_s: float,
        whole: bool = True,
    ) -> None:
        """A request that servers were asked for.

        Args:
            pool: The pool.
            code: What the client got.
            tries: Server and status of each try.
            header_s: Time to the first byte of the last try; None where there was none.
            total_s: Time from the request to the end.
            whole: Whether the client got all of the answer.
        """
        counters, asked = self.tally.counters, list(tries)
        self._client(pool, code, total_s)
        for upstream, answer in asked:
            of = f'code="{answer}",pool="{pool}",upstream="{upstream}"'
            counters[f"nginx_lb_upstream_responses_total{{{of}}}"] += 1
        if len(asked) > 1:
            counters[f'nginx_lb_retries_total{{pool="{pool}"}}'] += len(asked) - 1
        if not whole:
            counters[f'nginx_lb_broken_total{{pool="{pool}"}}'] += 1
        of = f'pool="{pool}",upstream="{asked[-1][0]}"'
        if header_s is not None:
            name = "nginx_lb_upstream_header_seconds"
            self.tally.histogram(name, of, _HEADER).observe(header_s)
        name = "nginx_lb_upstream_response_seconds"
        self.tally.histogram(name, of, _RESPONSE).observe(total_s)

    def _client(self, pool: str, code: int, total_s: float) -> None:
        self.tally.counters[f'nginx_lb_requests_total{{code="{code}",pool="{pool}"}}'] += 1
        self.tally.histogram("nginx_lb_request_seconds", f'pool="{pool}"', _REQUEST).observe(
            total_s
        )
