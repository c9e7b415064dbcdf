"""The grammar of what may stand in an upstream file: addresses, pool names, times."""

import ipaddress
import re
from functools import lru_cache

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?\Z")
_POOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}\Z")
_MAX_PORT = 65535
_MAX_HOST = 253
# The same addresses are asked for at every tick, several times each; parsing them anew would be
# half the cost of a tick.
_remembered = lru_cache(maxsize=65536)


@_remembered
def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`, `1.2.3.4:port` or `[v6]:port`.

    Raises:
        ValueError: The text is not such an address; the message says what is wrong with it.
    """
    host, colon, port_text = address.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{address!r}: expected host:port, such as 10.0.0.5:8000")
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= len(str(_MAX_PORT))):
        raise ValueError(f"{address!r}: expected a port 1..{_MAX_PORT} after the last colon")
    port = int(port_text)
    if not 1 <= port <= _MAX_PORT:
        raise ValueError(f"{address!r}: expected a port 1..{_MAX_PORT}, got {port}")
    if not is_host(host):
        raise ValueError(f"{address!r}: expected a host name, an IPv4 or a bracketed IPv6 address")
    return host, port


def is_host(host: str) -> bool:
    """Whether `host` is an IPv4 address, a bracketed IPv6 address or a DNS name."""
    if is_ip(host):
        return True
    # A name of digits and dots that is no IPv4 address is a mistyped one.
    return (
        len(host) <= _MAX_HOST
        and bool(_HOST.match(host))
        and not host.rstrip(".").rpartition(".")[2].isdigit()
    )


@_remembered
def is_ip(host: str) -> bool:
    """Whether `host` needs no name resolution: an IPv4 or a bracketed IPv6 address."""
    try:
        if host.startswith("[") and host.endswith("]"):
            # A zone such as %eth0 means something on one machine only.
            return "%" not in host and bool(ipaddress.IPv6Address(host[1:-1]))
        return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False


def is_pool_name(name: str) -> bool:
    """Whether `name` can be the name of an Nginx upstream and its zone."""
    return bool(_POOL_NAME.match(name))
