"""The upstream file: rendered from server lines, read back for adoption at start.

One file holds all pools. Its generation is a hash of everything else in it, so equal decisions give
equal files on every replica, and Nginx answers with the generation it has loaded through the
variable `$lb_generation`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.core.address import is_pool_name, split_address
from controller.core.model import Server

HEADER = "# Written by vllm-nginx-lb. Do not edit: the next change overwrites it."
GENERATION_LENGTH = 16

# A pool without any known backend still has to exist, or an nginx.conf that names it fails to load.
# Port 9 (discard) refuses at once, so a client gets a fast 502 rather than a hang.
PLACEHOLDER = Server("127.0.0.1:9", weight=1)

# Measured on Nginx 1.22: 256k hold 100 servers, 1M holds 1,000, 4M hold 5,000; about 0.9 KiB each.
# The first 128 KiB cover the slab allocator's own pages and the upstream itself.
ZONE_KIB_BASE = 128
ZONE_KIB_PER_SERVER = 1
ZONE_KIB_STEP = 128
ZONE_KIB_MIN = 256


class WhenFull(StrEnum):
    """What becomes of a request that finds every server with a `max_conns` full."""

    SPILL = "spill"
    """It goes to one of them all the same: they stand in the upstream again, as backups."""
    SHED = "shed"
    """Nginx turns it away at once."""
    IGNORE = "ignore"
    """Nothing is ever full: no `max_conns` is written."""


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """What stands in an upstream beside its servers.

    Attributes:
        max_fails: Failures within `fail_timeout_s` after which Nginx skips a server; 0 disables.
        fail_timeout_s: That window, and how long the server is skipped; whole seconds.
        keepalive: Idle connections kept per worker.
        zone_kib: Least size of the shared memory zone; None sizes it by the number of servers,
            and so does a pool that outgrows it.
        when_full: What the `max_conns` of its servers mean.
    """

    max_fails: int = 2
    fail_timeout_s: int = 30
    keepalive: int = 64
    zone_kib: int | None = None
    when_full: WhenFull = WhenFull.SPILL


@dataclass(frozen=True, slots=True)
class Upstream:
    """One pool as it is to be rendered: servers, options, and the names already resolved."""

    name: str
    servers: Sequence[Server]
    options: UpstreamOptions = UpstreamOptions()


@dataclass(frozen=True, slots=True)
class Rendered:
    """An upstream file and the generation that stands in it."""

    generation: str
    text: str


def zone_kib(servers: int) -> int:
    """Size in KiB of a zone that surely holds this many server lines."""
    need = ZONE_KIB_BASE + ZONE_KIB_PER_SERVER * servers
    return max(ZONE_KIB_MIN, -(-need // ZONE_KIB_STEP) * ZONE_KIB_STEP)


def render(upstreams: Sequence[Upstream], endpoints: Mapping[str, str] | None = None) -> Rendered:
    """Render the pools, sorted, with the generation of their content.

    Args:
        upstreams: At least one pool; a pool without servers gets the placeholder.
        endpoints: `ip:port` by address, for addresses whose host is a name.

    Raises:
        ValueError: A value would not be safe or not be accepted by Nginx.
    """
    names = [upstream.name for upstream in upstreams]
    # Nginx compares the names of upstreams without regard to case.
    if len({name.lower() for name in names}) != len(names):
        raise ValueError(f"two pools of one name among {sorted(names)}")
    body = "\n".join(
        _upstream(upstream, endpoints or {})
        for upstream in sorted(upstreams, key=lambda each: each.name)
    )
    generation = hashlib.sha256(body.encode()).hexdigest()[:GENERATION_LENGTH]
    head = f'{HEADER}\nmap "" $lb_generation {{\n    default "{generation}";\n}}\n'
    return Rendered(generation, f"{head}\n{body}")


def _upstream(upstream: Upstream, endpoints: Mapping[str, str]) -> str:
    if not is_pool_name(upstream.name):
        raise ValueError(f"pool {upstream.name!r}: not a name that an upstream can have")
    servers = sorted(upstream.servers, key=lambda each: each.address) or [PLACEHOLDER]
    addresses = {server.address for server in servers}
    if len(addresses) != len(servers):
        raise ValueError(f"pool {upstream.name!r}: an address stands in it twice")
    if all(server.down for server in servers):
        raise ValueError(f"pool {upstream.name!r}: no live server")
    options = upstream.options
    backups = _backups(servers, options)
    # A discovered pool can outgrow the zone it was given; refusing it would stop every pool.
    size_kib = max(options.zone_kib or 0, zone_kib(len(servers) + len(backups)))
    lines = [
        f"upstream {upstream.name} {{",
        f"    zone {upstream.name} {size_kib}k;",
        "    least_conn;",
        *(_server(server, options, endpoints) for server in servers),
        *(_server(server, options, endpoints, backup=True) for server in backups),
        f"    keepalive {options.keepalive};",
        "}\n",
    ]
    return "\n".join(lines)


def _backups(servers: Sequence[Server], options: UpstreamOptions) -> list[Server]:
    """The servers that take what is beyond the limits; none where nothing is limited."""
    live = [server for server in servers if not server.down]
    spill = options.when_full is WhenFull.SPILL and any(server.max_conns for server in live)
    return [replace(server, max_conns=None) for server in live] if spill else []


def _server(
    server: Server, options: UpstreamOptions, endpoints: Mapping[str, str], *, backup: bool = False
) -> str:
    split_address(server.address)
    if not 1 <= server.weight <= 100:  # noqa: PLR2004 - the bound of the file's grammar, stated in Server
        raise ValueError(f"{server.address}: weight {server.weight}, expected 1..100")
    if server.max_conns is not None and server.max_conns < 1:
        raise ValueError(f"{server.address}: max_conns {server.max_conns}, expected at least 1")
    endpoint, name = endpoints.get(server.address, server.address), ""
    if endpoint != server.address:
        split_address(endpoint)
        name = f" # {server.address}"
    limited = server.max_conns is not None and options.when_full is not WhenFull.IGNORE
    limit = f" max_conns={server.max_conns}" if limited else ""
    role = " backup" if backup else " down" if server.down else ""
    return (
        f"    server {endpoint} weight={server.weight}{limit}"
        f" max_fails={options.max_fails} fail_timeout={options.fail_timeout_s}s{role};{name}"
    )


_GENERATION_LINE = re.compile(r'    default "([0-9a-f]{16})";\Z')
_UPSTREAM_LINE = re.compile(r"upstream (\S+) \{\Z")
_SERVER_LINE = re.compile(
    r"    server (\S+) weight=(\d{1,3})(?: max_conns=(\d{1,18}))?"
    r" max_fails=\d+ fail_timeout=\d+s( down| backup)?;(?: # (\S+))?\Z"
)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What an upstream file on disk holds, when this program wrote it."""

    generation: str
    pools: Mapping[str, tuple[Server, ...]]
    endpoints: Mapping[str, str]


def parse(text: str) -> Adopted | None:
    """Read back a rendered file; None for a file that this program did not write, or not whole."""
    generation = None
    pools: dict[str, list[Server]] = {}
    servers: list[Server] = []
    endpoints: dict[str, str] = {}
    for line in text.splitlines():
        if found := _GENERATION_LINE.match(line):
            generation = found[1]
        elif found := _UPSTREAM_LINE.match(line):
            servers = pools.setdefault(found[1], [])
        elif found := _SERVER_LINE.match(line):
            endpoint, weight, limit, role, name = found.groups()
            if role == " backup":  # the same server again
                continue
            max_conns = int(limit) if limit else None
            if name:
                endpoints[name] = endpoint
            servers.append(Server(name or endpoint, int(weight), bool(role), max_conns))
    body = text.partition("}\n\n")[2]
    if generation != hashlib.sha256(body.encode()).hexdigest()[:GENERATION_LENGTH]:
        return None
    return Adopted(
        generation,
        {
            name: () if found == [PLACEHOLDER] else tuple(found)
            for name, found in sorted(pools.items())
        },
        endpoints,
    )
