"""The real controller, with a Prometheus and an Nginx that the world plays for it."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from controller.app.last_tick import PoolInfo
from controller.app.loop import Loop, Wiring
from controller.app.telemetry import Telemetry
from controller.core.errors import ActuationError, ActuationFault, SourceError, SourceFault
from controller.core.memory import Memory
from controller.core.model import NginxView, Observation, PoolSnapshot, Snapshot
from controller.core.render import UpstreamOptions, WhenFull
from controller.core.settings import Limits, PoolSpec
from controller.policy.capacity import Capacity
from lab.incidents.entry import Nginx
from lab.incidents.server import Server
from lab.incidents.timetable import SCRAPE_S

# A rate over a minute needs five scrapes.
_WINDOW_SCRAPES = 5
# How long after a scrape the controller looks.
TICK_AFTER_S = 5
_QUERY_S, _TIMEOUT_S, _DECIDE_S, _APPLY_S = 0.018, 5.0, 0.004, 0.35


class SeenByPrometheus:
    """The source of snapshots.

    Attributes:
        blind: Prometheus does not answer in time.
    """

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers
        self._totals: dict[str, deque[Mapping[str, float]]] = {
            one.place.address: deque(maxlen=_WINDOW_SCRAPES) for one in servers
        }
        self._gauges: dict[str, Mapping[str, float]] = {}
        self.blind = False

    def scrape(self) -> None:
        """Remember what a scrape finds now."""
        for server in self._servers:
            address = server.place.address
            if not server.up:
                self._gauges.pop(address, None)
                self._totals[address].clear()
                continue
            totals = dict(server.totals())
            before = self._totals[address]
            if before and totals["itl_count_rate"] < before[-1]["itl_count_rate"]:
                before.clear()  # a new process
            before.append(totals)
            self._gauges[address] = server.shown()

    def observe(self, now_s: float) -> Snapshot:
        """One snapshot of all pools."""
        if self.blind:
            error = SourceError(SourceFault.TIMED_OUT, f"no answer within {_TIMEOUT_S:g} s")
            return Snapshot(now_s, error=error)
        pools: dict[str, dict[str, Observation]] = {}
        for server in self._servers:
            address = server.place.address
            pools.setdefault(server.place.pool, {})[address] = self._observation(address)
        return Snapshot(now_s, {name: PoolSnapshot(seen) for name, seen in pools.items()})

    def _observation(self, address: str) -> Observation:
        if address not in self._gauges:
            return Observation({}, {}, None, up=False, instance=address)
        # Prometheus spreads its scrapes, so samples are not all of one age.
        age_s = TICK_AFTER_S + list(self._totals).index(address)
        signals = dict(self._gauges[address])
        totals = self._totals[address]
        if len(totals) > 1:
            window_s = SCRAPE_S * (len(totals) - 1)
            first, last = totals[0], totals[-1]
            signals |= {name: (last[name] - first[name]) / window_s for name in last}
            signals["preemptions_total"] = last["preemption_rate"]
        return Observation(signals, {}, float(age_s), up=True, instance=address)


class NginxControlled:
    """The way to Nginx.

    Attributes:
        broken: nginx.conf cannot be loaded, whatever the upstream file says.
        deaf: Nginx loads nothing new, though it is told to.
    """

    def __init__(self, nginx: Nginx) -> None:
        self._nginx = nginx
        self.broken = False
        self.deaf = False

    def apply(self, generation: str, text: str) -> None:
        """Load a file, if Nginx will."""
        if self.broken:
            raise ActuationError(ActuationFault.REJECTED, 'unknown directive "upstraem"')
        if self.deaf:
            raise ActuationError(ActuationFault.UNCONFIRMED, f"{generation} is not served")
        self._nginx.load(text)

    def rehearse(self) -> None:
        """Nothing to find out."""

    def view(self) -> NginxView:
        """What Nginx says of itself."""
        nginx = self._nginx
        return NginxView(nginx.generation, nginx.lingering_workers, nginx.live_workers)

    def served_text(self) -> str | None:
        """The file on disk."""
        return self._nginx.text or None


class Controlled:
    """The controller, tick by tick."""

    def __init__(
        self,
        servers: Sequence[Server],
        nginx: Nginx,
        shedding: frozenset[str],
        engines: Mapping[str, str],
    ) -> None:
        self.source = SeenByPrometheus(servers)
        self.actuator = NginxControlled(nginx)
        self._endpoints = {one.place.address: one.place.endpoint for one in servers}
        self._now_s = 0.0
        specs = [
            PoolSpec(
                pool,
                Capacity(),
                [one.place.address for one in servers if one.place.pool == pool],
                options=UpstreamOptions(
                    when_full=WhenFull.SHED if pool in shedding else WhenFull.SPILL
                ),
            )
            for pool in engines
        ]
        infos = [PoolInfo(pool, engine, "capacity") for pool, engine in engines.items()]
        self._telemetry = Telemetry("0.1.0", SCRAPE_S, infos)
        wiring = Wiring(specs, Limits(), self.source, self.actuator, self, lambda: self._now_s)
        self._loop = Loop(wiring, Memory())

    def resolve(self, addresses: Iterable[str]) -> Mapping[str, str]:
        """Addresses of names."""
        return {address: self._endpoints[address] for address in addresses}

    def tick(self, now_s: float) -> None:
        """Look, decide, act."""
        self._now_s = now_s
        tick = self._loop.tick()
        apply_s = None if tick.apply_s is None else _APPLY_S
        query_s = _TIMEOUT_S if tick.snapshot.error else _QUERY_S
        # Wall time is what the machine took that plays the world; here time is part of the play.
        tick = replace(tick, apply_s=apply_s, duration_s=query_s + _DECIDE_S + (apply_s or 0))
        self._telemetry.record(tick, query_s=query_s, requests=1 if tick.snapshot.error else 2)

    def samples(self) -> Iterator[tuple[str, float]]:
        """What its /metrics says."""
        for family in self._telemetry.registry.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    of = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
                    yield f"{sample.name}{{{of}}}" if of else sample.name, sample.value
