"""Looks up the names of backends, in bounded time and not at every tick."""

import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from controller.core.address import split_address

# Long enough to spare the name server, short enough that a moved backend is found in a minute.
FRESH_S = 30.0
WORKERS = 8
# Most seconds that a tick waits for names; lookups that take longer serve a later tick.
RESOLVE_S = 2.0


class SystemResolver:
    """Resolves through the system, as Nginx would; remembers the last answer of each name.

    A name that once resolved keeps its address while the name server is silent: losing the name
    server must not empty a pool.
    """

    def __init__(self, clock: Callable[[], float], deadline_s: float = RESOLVE_S) -> None:
        self._clock = clock
        self._deadline_s = deadline_s
        self._known: dict[str, str] = {}
        self._asked_s: dict[str, float] = {}
        self._pending: dict[str, Future[list[str]]] = {}
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="resolver")

    def resolve(self, addresses: Iterable[str]) -> Mapping[str, str]:
        """Map `host:port` to `ip:port`; an address that never resolved is absent."""
        wanted = sorted(set(addresses))
        now_s = self._clock()
        for address in wanted:
            fresh = now_s - self._asked_s.get(address, float("-inf")) < FRESH_S
            if address not in self._pending and not (fresh and address in self._known):
                self._asked_s[address] = now_s
                self._pending[address] = self._pool.submit(_look_up, address)
        wait([self._pending[a] for a in wanted if a in self._pending], timeout=self._deadline_s)
        for address in [a for a, lookup in self._pending.items() if lookup.done()]:
            found = self._pending.pop(address).result()
            # One that is still among the answers stays: another one would cost a reload.
            if found and self._known.get(address) not in found:
                self._known[address] = found[0]
        for departed in self._known.keys() - set(wanted):
            del self._known[departed]
        return {address: self._known[address] for address in wanted if address in self._known}

    def close(self) -> None:
        """Give up lookups that still run."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(address: str) -> list[str]:
    host, port = split_address(address)
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    # Lowest first, IPv4 before IPv6: name servers rotate their answers, the file must not.
    # An address with a zone (fe80::1%eth0) means nothing to another process; Nginx refuses it.
    found = sorted(
        (family != socket.AF_INET, str(at[0]))
        for family, *_, at in answers
        if "%" not in str(at[0])
    )
    return [f"[{ip}]:{port}" if is_v6 else f"{ip}:{port}" for is_v6, ip in found]
