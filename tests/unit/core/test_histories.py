"""What must hold at every step of any history: Prometheus and Nginx may do what they like."""

import random
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from controller.adapters.state_file import StateFile
from controller.core.address import is_ip, split_address
from controller.core.decide import Action, Decision, PoolDecision, Situation, decide
from controller.core.errors import ActuationError, ActuationFault, SourceError, SourceFault
from controller.core.memory import Memory
from controller.core.model import (
    NginxView,
    Observation,
    PoolSnapshot,
    SampleFault,
    Server,
    Signal,
    Snapshot,
)
from controller.core.outcome import adopted, confirmed, failed
from controller.core.policy import Policy
from controller.core.reasons import BackendReason, PoolReason
from controller.core.render import PLACEHOLDER, UpstreamOptions, WhenFull, parse
from controller.core.settings import HealthSettings, Limits, PoolSpec
from controller.core.stabilise import CHANGES
from controller.policy.equal import Equal
from controller.policy.ladder import Ladder

from .worlds import START_S, Wished

NAMES = ("node-a:8000", "node-b.svc:8000")
ADDRESSES = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "[fd00::4]:80", *NAMES)
FOREIGN = "f" * 16
POLICIES: list[Policy] = [Wished(), Ladder(), Equal()]
SERVER_LINE = re.compile(r"^    server (\S+) weight=(\d+).*?( down| backup)?;")
OUT_FOR = {
    BackendReason.DRAINED,
    BackendReason.EJECTED_ASLEEP,
    BackendReason.EJECTED_FAILING,
    BackendReason.EJECTED_STALLED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What the world does in one tick."""

    after_s: float
    snapshot: Snapshot
    nginx: str
    lingering: int | None
    endpoints: Mapping[str, str]
    outcome: str
    restart: str


def values(draw: st.DrawFn) -> dict[str, float]:
    """Signals of any backend, well or ill."""
    return {
        Signal.KV_USAGE: draw(st.sampled_from([0.0, 0.3, 0.5, 0.76, 0.88, 0.93, 1.0])),
        Signal.WAITING: draw(st.sampled_from([0.0, 0.0, 4.0])),
        Signal.RUNNING: draw(st.sampled_from([0.0, 2.0, 9.0])),
        Signal.PREEMPTIONS_TOTAL: draw(st.sampled_from([0.0, 5.0, 9.0])),
        Signal.PROGRESS_RATE: draw(st.sampled_from([0.0, 9.0, 9.0])),
        Signal.FINISHED_RATE: 1.0,
        Signal.FAILED_RATE: draw(st.sampled_from([0.0, 0.0, 3.0])),
        Signal.AWAKE: draw(st.sampled_from([1.0, 1.0, 0.0])),
    }


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """A backend as Prometheus may show it: fit, faulty, missing or unscraped."""
    signals = values(draw)
    kind = draw(st.sampled_from(["fit"] * 4 + ["fault", "missing", "silent", "unscraped"]))
    if kind == "fit":
        return Observation(signals, {}, 3.0, up=draw(st.sampled_from([True, None])))
    if kind == "fault":
        faults: dict[str, SampleFault] = {Signal.KV_USAGE: draw(st.sampled_from(SampleFault))}
        del signals[Signal.KV_USAGE]
        return Observation(signals, faults, 70.0, up=True)
    if kind == "missing":
        return Observation({Signal.RUNNING: 1.0}, {}, 3.0, up=True)
    if kind == "silent":
        return Observation()
    return Observation(signals, {}, 20.0, up=False)


BLIND = ("error", "warnings", "empty", "absent")


@st.composite
def snapshots(draw: st.DrawFn, pools: tuple[str, ...], kinds: Sequence[str]) -> Snapshot:
    """An answer of Prometheus, or none."""
    kind = draw(st.sampled_from(kinds))
    if kind == "error":
        return Snapshot(0, error=SourceError(SourceFault.TIMED_OUT, "no answer within 5 s"))
    if kind == "absent":
        return Snapshot(0)
    found = {
        pool: PoolSnapshot(
            {}
            if kind == "empty"
            else draw(st.dictionaries(st.sampled_from(ADDRESSES), observations()))
        )
        for pool in pools
    }
    return Snapshot(0, found, ("partial",) if kind == "warnings" else ())


@st.composite
def steps(
    draw: st.DrawFn, pools: tuple[str, ...], kinds: Sequence[str] = ("fit",) * 6 + BLIND
) -> Step:
    """One tick of the world."""
    resolvable = draw(st.sets(st.sampled_from(NAMES)))
    return Step(
        after_s=draw(st.sampled_from([0.0, 1.0, 5.0, 10.0, 10.0, 30.0, 61.0, 700.0, -20.0])),
        snapshot=draw(snapshots(pools, kinds)),
        nginx=draw(st.sampled_from(["serves"] * 6 + ["unreachable", "drifts"])),
        lingering=draw(st.sampled_from([0, 0, None, 3, 100])),
        endpoints={
            name: f"10.9.0.{draw(st.integers(1, 2))}:{split_address(name)[1]}"
            for name in resolvable
        },
        outcome=draw(
            st.sampled_from(["confirmed"] * 4 + ["rejected", "unconfirmed", "late", "unreachable"])
        ),
        restart=draw(st.sampled_from(["no"] * 8 + ["with memory", "without memory"])),
    )


@st.composite
def pool_specs(draw: st.DrawFn, name: str) -> PoolSpec:
    """A pool, configured or discovered."""
    policy = draw(st.sampled_from(POLICIES))
    backends, drained = None, frozenset[str]()
    if draw(st.booleans()):
        members = draw(st.sets(st.sampled_from(ADDRESSES), min_size=1))
        backends = draw(st.permutations(sorted(members)))
        drained = frozenset(draw(st.sets(st.sampled_from(backends), max_size=2)))
    return PoolSpec(
        name,
        policy,
        backends,
        drained,
        health=HealthSettings(strikes=draw(st.integers(1, 2)), expiry_s=30),
        min_coverage=draw(st.sampled_from([0.25, 0.5, 1.0])),
        options=UpstreamOptions(when_full=draw(st.sampled_from(WhenFull))),
        replicas=draw(st.sampled_from([1, 3])),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[PoolSpec], Limits, list[Step]]:
    """Pools, limits, and what happens to them."""
    names = draw(st.sampled_from([("llm",), ("llm", "other")]))
    limits = Limits(
        dead_band=draw(st.sampled_from([0.0, 0.5])),
        panic_threshold=draw(st.sampled_from([0.0, 0.5, 0.7, 1.0])),
        blind_hold_s=draw(st.sampled_from([30.0, 600.0])),
        quarantine_s=20,
    )
    specs = [draw(pool_specs(name)) for name in names]
    return specs, limits, draw(st.lists(steps(names), min_size=1, max_size=14))


@dataclass
class Machine:
    """The controller beside an Nginx, through a history, with an eye on every step."""

    specs: list[PoolSpec]
    limits: Limits
    memory: Memory = field(default_factory=Memory)
    now_s: float = START_S
    served: str = "0" * 16
    text: str | None = None
    confirmed_s: float | None = None
    adopted: bool = False
    texts: dict[str, str] = field(default_factory=dict)

    def run(self, step: Step) -> Decision:
        """Live through one step, and check what must hold."""
        self.now_s += step.after_s
        if step.nginx == "drifts":
            self.served, self.text = FOREIGN, "upstream llm { server 10.0.0.9:80; }\n"
        view = NginxView(None if step.nginx == "unreachable" else self.served, step.lingering, 4)
        if step.restart != "no":
            self.memory = Memory() if step.restart == "without memory" else self.memory
            self.adopted = False
        if not self.adopted or self.memory.applied is None:
            # As the loop does it: once Nginx can be asked, and as long as nothing is known of it.
            self.adopted = self.adopted or view.generation is not None
            self.memory = adopted(self.memory, view, self.text)
            # What was adopted from the file may be of any time.
            self.confirmed_s = self.memory.applied.at_s if self.memory.applied else None
        before = self.memory
        situation = Situation(
            self.specs,
            self.limits,
            replace(step.snapshot, at_s=self.now_s),
            before,
            view,
            step.endpoints,
        )
        decision, self.memory = decide(situation)
        self.check(situation, decision)
        if decision.action == Action.APPLY:
            self.apply(decision, step.outcome)
        return decision

    def apply(self, decision: Decision, outcome: str) -> None:
        """Push the file; what becomes of it is the step's."""
        if outcome == "confirmed":
            self.memory = confirmed(self.memory, decision, self.now_s)
            self.confirmed_s = self.now_s
        else:
            fault = ActuationFault("unconfirmed" if outcome == "late" else outcome)
            error = ActuationError(fault, "refused")
            self.memory = failed(self.memory, decision, error, self.now_s, self.limits)
        if outcome in {"confirmed", "late"}:
            self.served, self.text = decision.rendered.generation, decision.rendered.text

    def check(self, now: Situation, decision: Decision) -> None:
        """All that must hold of one decision."""
        assert self.memory.applied == now.memory.applied
        self.check_file(decision)
        self.check_calm(now, decision)
        self.check_order(now, decision)
        for spec in now.specs:
            pool = decision.pools[spec.name]
            self.check_live(spec, pool)
            self.check_blind(spec, pool, now)

    def check_file(self, decision: Decision) -> None:
        """The file has live servers only under addresses, and is read back as it was meant."""
        rendered = decision.rendered
        assert self.texts.setdefault(rendered.generation, rendered.text) == rendered.text
        assert len(set(self.texts.values())) == len(self.texts)
        for upstream in rendered.text.split("upstream ")[1:]:
            found = [m for line in upstream.splitlines() if (m := SERVER_LINE.match(line))]
            assert any(not match[3] for match in found)
            assert all(is_ip(split_address(match[1])[0]) for match in found)
            assert all(1 <= int(match[2]) <= 100 for match in found)
        back = parse(rendered.text)
        assert back is not None
        assert back.generation == rendered.generation
        if decision.action == Action.APPLY:
            wanted = {name: pool.target.servers for name, pool in decision.pools.items()}
            assert back.pools == {
                name: () if servers == (PLACEHOLDER,) else servers
                for name, servers in wanted.items()
            }

    def check_calm(self, now: Situation, decision: Decision) -> None:
        """Reloads keep their distance, and a refused file its quarantine."""
        if decision.action != Action.APPLY:
            return
        assert now.nginx.generation is not None
        refused = now.memory.quarantine
        if refused is not None and refused.generation == decision.rendered.generation:
            assert self.now_s >= refused.until_s
        wants = {pool.reason for pool in decision.pools.values()} & CHANGES
        if self.confirmed_s is None or PoolReason.FIRST in wants or now.memory.applied is None:
            return
        since_s = self.now_s - self.confirmed_s
        only_weights = decision.reason == PoolReason.WEIGHTS and wants == {PoolReason.WEIGHTS}
        drifted = now.nginx.generation != now.memory.applied.generation
        least_s = self.limits.fast_interval_s
        if only_weights and not drifted:
            least_s = self.limits.min_interval_s
        assert since_s < 0 or since_s >= least_s

    def check_order(self, now: Situation, decision: Decision) -> None:
        """Another controller with the same inputs, in any order, writes the same file."""
        dice = random.Random(len(self.texts))  # noqa: S311 - an order, not a secret

        def shuffled(items: list[PoolSpec]) -> list[PoolSpec]:
            return dice.sample(items, len(items))

        specs = [
            replace(
                spec,
                backends=spec.backends and dice.sample(list(spec.backends), len(spec.backends)),
            )
            for spec in shuffled(list(now.specs))
        ]
        pools = {
            name: replace(pool, observations=dict(reversed(list(pool.observations.items()))))
            for name, pool in reversed(list(now.snapshot.pools.items()))
        }
        twin = replace(now, specs=specs, snapshot=replace(now.snapshot, pools=pools))
        other, memory = decide(twin)
        assert (other.action, other.reason) == (decision.action, decision.reason)
        assert other.rendered == decision.rendered
        assert memory == self.memory

    def check_live(self, spec: PoolSpec, pool: PoolDecision) -> None:
        """Enough of a pool serves, at weights that Nginx takes, and the rest is out for a cause."""
        servers = pool.target.servers
        if not servers:
            return
        assert any(not server.down for server in servers)
        assert all(type(server.weight) is int for server in servers)
        assert all(1 <= server.weight <= 100 for server in servers)
        counted = [server for server in servers if server.address not in spec.drained]
        live = [server for server in counted if not server.down]
        if counted:
            assert len(live) / len(counted) >= self.limits.panic_threshold
            assert live
        assert pool.target.reasons.keys() >= {server.address for server in servers}
        for server in servers:
            reason = pool.target.reasons[server.address][0]
            if server.down and pool.blind is None:
                assert reason in OUT_FOR

    def check_blind(self, spec: PoolSpec, pool: PoolDecision, now: Situation) -> None:
        """A blind pool stays as it is until its hold is over, and never ejects."""
        applied = now.memory.applied.pools.get(spec.name) if now.memory.applied else None
        if pool.blind is None or not applied:
            return
        before = {server.address: server for server in applied}
        for server in pool.target.servers:
            was_down = server.address in before and before[server.address].down
            assert not server.down or was_down or server.address in spec.drained
        since_s = self.memory.pools[spec.name].blind_since_s
        assert since_s is not None
        if self.now_s - since_s > self.limits.blind_hold_s:
            return
        kept = [each for each in pool.target.servers if each.address in before]
        assert [(each.weight, each.max_conns) for each in kept] == [
            (before[each.address].weight, before[each.address].max_conns) for each in kept
        ]
        if {each.address for each in pool.target.servers} == before.keys():
            assert pool.target.servers == tuple(applied)
            assert pool.reason not in CHANGES - {PoolReason.MEMBERS}
        shown = now.snapshot.pools.get(spec.name, PoolSnapshot()).observations
        if spec.backends is None and (now.snapshot.warnings or not shown):
            known = now.memory.pools[spec.name].seen_s if spec.name in now.memory.pools else before
            there = {each.address for each in pool.target.servers}
            assert before.keys() & (known or before).keys() <= there


@settings(deadline=None, derandomize=True, max_examples=100)
@given(histories())
def test_what_must_always_hold(history: tuple[list[PoolSpec], Limits, list[Step]]) -> None:
    """In any history each step keeps every rule of the design."""
    specs, limits, happening = history
    machine = Machine(specs, limits)
    for step in happening:
        machine.run(step)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(histories(), st.integers(0, 13))
def test_a_memory_survives_the_disk(
    history: tuple[list[PoolSpec], Limits, list[Step]], moment: int
) -> None:
    """A memory that was written and read back is the same, and so is all that follows from it."""
    specs, limits, happening = history
    machine, twin = Machine(specs, limits), Machine(specs, limits)
    with tempfile.TemporaryDirectory() as directory:
        store = StateFile(Path(directory) / "state.json")
        for number, step in enumerate(happening):
            decision, other = machine.run(step), twin.run(step)
            assert decision == other
            if number == moment % len(happening):
                store.save(twin.memory)
                twin.memory, problem = store.load()
                assert problem == ""
            assert twin.memory == machine.memory


def calm_world(policy: Policy) -> tuple[Machine, list[Server]]:
    """A machine whose pool was confirmed in a healthy moment."""
    machine = Machine([PoolSpec("llm", policy, ADDRESSES[:4])], Limits())
    found = {address: Observation(HEALTHY, {}, 2.0, up=True) for address in ADDRESSES[:4]}
    healthy = Step(0, Snapshot(0, {"llm": PoolSnapshot(found)}), "serves", 0, {}, "confirmed", "no")
    decision = machine.run(healthy)
    return machine, list(decision.pools["llm"].target.servers)


HEALTHY: dict[str, float] = {
    Signal.KV_USAGE: 0.5,
    Signal.WAITING: 0.0,
    Signal.RUNNING: 2.0,
    Signal.PREEMPTIONS_TOTAL: 0.0,
    Signal.PROGRESS_RATE: 9.0,
}


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.sampled_from(POLICIES),
    st.lists(steps(("llm",), BLIND), max_size=8),
)
def test_a_blind_controller_is_a_still_one(policy: Policy, happening: list[Step]) -> None:
    """As long as the hold lasts, whatever happens beside blindness, the servers stay the same."""
    machine, before = calm_world(policy)
    foreign = any(step.nginx == "drifts" for step in happening)
    for step in happening:
        # Neither memory nor a file of ours: such a start knows nothing that it could keep.
        restart = "with memory" if foreign and step.restart != "no" else step.restart
        decision = machine.run(replace(step, after_s=min(step.after_s, 60.0), restart=restart))
        if machine.memory.applied is None and not foreign:
            # Without memory, and Nginx cannot be asked: nothing can be kept, and nothing is pushed.
            assert decision.action == Action.HOLD
            continue
        assert list(decision.pools["llm"].target.servers) == before
