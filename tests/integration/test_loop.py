"""The whole loop against a real Prometheus and a real Nginx."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.state_file import StateFile
from controller.app.loop import Loop, Result, TickRecord
from controller.core.errors import ActuationFault, ConfigError
from controller.core.reasons import BackendReason, PoolReason
from controller.core.render import parse
from lab.nginx import watcher
from lab.processes import await_true, free_port
from lab.prometheus import prometheus, scrape_job
from tests.integration.plant import HEALTHY, Clock, Page, Plant, loop, plant
from tests.integration.prometheus_faults import Asked, Told, serving

pytestmark = pytest.mark.integration

A, B, C, D = (f"127.0.0.1:{port}" for port in range(20001, 20005))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One plant for all tests of this module; each test sets the pages it needs."""
    with plant(tmp_path_factory.mktemp("plant"), A, B, C, D) as running:
        yield running


@pytest.fixture
def site(shared: Plant) -> Plant:
    """The plant with every backend healthy again."""
    for page in shared.pages.values():
        page.gauges, page.status = dict(HEALTHY), 200
        page.text, page.frozen = None, False
    shared.await_query('sum(up{job="vllm"})', 4)
    shared.await_query("max(vllm:kv_cache_usage_perc)", 0.1)
    shared.await_query("count(rate(vllm:iteration_tokens_total_count[5s]) > 0)", 4)
    return shared


def served_weights(site: Plant) -> dict[str, int]:
    """The weights in the file on disk, which must be the one that Nginx serves."""
    found = parse(site.nginx.upstream_file.read_text())
    assert found is not None
    assert found.generation == site.nginx.generation()
    return {server.address: server.weight for server in found.pools["llm"] if not server.down}


def started(site: Plant, running: Loop) -> TickRecord:
    """The first tick, which leaves equal weights in Nginx."""
    tick = running.tick()
    assert tick.error is None
    assert served_weights(site) == {A: 100, B: 100, C: 100, D: 100}
    return tick


def test_weights_follow_load(site: Plant) -> None:
    """A full KV cache reaches Nginx as a lower weight, confirmed, with its reason."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
        site.pages[B].gauges["vllm:kv_cache_usage_perc"] = 0.93
        site.await_query("max(vllm:kv_cache_usage_perc)", 0.93)
        clock.pass_by(61)
        tick = running.tick()
    assert (tick.result, tick.decision.reason) == (Result.CONFIRMED, PoolReason.WEIGHTS)
    assert served_weights(site) == {A: 100, B: 10, C: 100, D: 100}
    reason = tick.decision.pools["llm"].target.reasons[B]
    assert reason == (BackendReason.POLICY, "KV 0.93: 10")


def test_weights_reach_nginx_over_a_shared_volume(site: Plant) -> None:
    """With a watcher beside Nginx the controller needs nothing but a directory and a port."""
    clock = Clock()
    text = site.config_text(way=site.shared_way())
    with watcher(site.nginx), loop(text, clock) as running:
        started(site, running)
        site.pages[B].gauges["vllm:kv_cache_usage_perc"] = 0.93
        site.await_query("max(vllm:kv_cache_usage_perc)", 0.93)
        clock.pass_by(61)
        tick = running.tick()
    assert tick.result == Result.CONFIRMED
    assert served_weights(site) == {A: 100, B: 10, C: 100, D: 100}


def test_silent_watcher_holds(site: Plant) -> None:
    """Without its watcher nothing reaches Nginx, which is told, and mended once it is back."""
    clock = Clock()
    text = site.config_text(way=site.shared_way())
    with loop(text, clock) as running:
        with watcher(site.nginx):
            started(site, running)
        site.pages[B].gauges["vllm:kv_cache_usage_perc"] = 0.93
        site.await_query("max(vllm:kv_cache_usage_perc)", 0.93)
        status = site.nginx.shared_dir / "ack" / "status"
        await_true(lambda: time.time() - status.stat().st_mtime > 3, 10, "the watcher is silent")
        clock.pass_by(61)
        silent = running.tick()
        assert silent.result == Result.FAILED
        assert silent.error is not None
        assert silent.error.fault == ActuationFault.UNREACHABLE
        with watcher(site.nginx):
            clock.pass_by(10)
            assert running.tick().result == Result.CONFIRMED
    assert served_weights(site) == {A: 100, B: 10, C: 100, D: 100}


def test_weight_changes_wait_for_the_interval(site: Plant) -> None:
    """Within the interval after a reload a weight change is held, and told."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
        site.pages[C].gauges["vllm:kv_cache_usage_perc"] = 0.8
        site.await_query("max(vllm:kv_cache_usage_perc)", 0.8)
        clock.pass_by(30)
        held = running.tick()
        assert (held.result, held.decision.reason) == (Result.HELD, PoolReason.MIN_INTERVAL)
        clock.pass_by(31)
        assert running.tick().result == Result.CONFIRMED
    assert served_weights(site)[C] == 60


def test_frozen_engine_is_ejected_and_returns(site: Plant) -> None:
    """An engine with requests and no steps is taken out after two ticks, and comes back later."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
        site.pages[D].frozen = True
        frozen = f'rate(vllm:iteration_tokens_total_count{{instance="{D}"}}[5s])'
        site.await_query(frozen, 0)
        clock.pass_by(61)
        first = running.tick()
        assert first.result == Result.HELD
        clock.pass_by(10)
        second = running.tick()
        assert second.decision.reason == PoolReason.EJECTION
        assert served_weights(site) == {A: 100, B: 100, C: 100}
        assert second.decision.pools["llm"].target.reasons[D][0] == BackendReason.EJECTED_STALLED
        site.pages[D].frozen = False
        site.await_query(f"{frozen} > bool 0", 1)
        clock.pass_by(61)
        assert running.tick().decision.reason == PoolReason.EJECTION
    assert served_weights(site) == {A: 100, B: 100, C: 100, D: 100}


def test_failed_scrape_ejects_nobody(site: Plant) -> None:
    """A backend whose scrape fails keeps its weight: Nginx sees sooner whether it is dead."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
        site.pages[A].status = 500
        site.await_query('sum(up{job="vllm"})', 3)
        clock.pass_by(61)
        tick = running.tick()
    assert tick.result == Result.HELD
    assert tick.decision.pools["llm"].target.reasons[A][0] == BackendReason.HELD_SCRAPE_FAILED
    assert served_weights(site) == {A: 100, B: 100, C: 100, D: 100}


def test_prometheus_gone_holds(site: Plant) -> None:
    """Without Prometheus the weights stay, nobody is ejected, and the reason is told."""
    site.pages[B].gauges["vllm:kv_cache_usage_perc"] = 0.93
    site.await_query("max(vllm:kv_cache_usage_perc)", 0.93)
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        running.tick()
        memory = running.memory
    before = served_weights(site)
    with loop(site.config_text(url=f"http://127.0.0.1:{free_port()}"), clock, memory) as running:
        clock.pass_by(120)
        tick = running.tick()
        assert (tick.result, tick.decision.reason) == (Result.HELD, PoolReason.BLIND_SOURCE)
        assert "refused" in tick.decision.detail
        assert served_weights(site) == before == {A: 100, B: 10, C: 100, D: 100}
        clock.pass_by(601)
        late = running.tick()
        assert late.result == Result.CONFIRMED
        assert served_weights(site) == {A: 100, B: 100, C: 100, D: 100}
        reasons = {why for why, _ in late.decision.pools["llm"].target.reasons.values()}
        assert reasons == {BackendReason.NEUTRAL}


def test_empty_prometheus_holds(site: Plant, tmp_path: Path) -> None:
    """A Prometheus that has lost its data changes nothing."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
        memory = running.memory
    with (
        prometheus(tmp_path / "fresh", [scrape_job("nothing", [])]) as fresh,
        loop(site.config_text(url=fresh.url), clock, memory) as running,
    ):
        clock.pass_by(120)
        tick = running.tick()
    assert (tick.result, tick.decision.reason) == (Result.HELD, PoolReason.BLIND_EMPTY)
    assert served_weights(site) == {A: 100, B: 100, C: 100, D: 100}


def stale_page() -> str:
    """Metrics with the time of a scrape two minutes ago, as a gateway hands them on."""
    label = '{engine="0",model_name="m"}'
    at_ms = "{at_ms}"
    return "\n".join(f"{name}{label} {value} {at_ms}" for name, value in HEALTHY.items()) + "\n"


def test_stale_samples_hold(site: Plant, tmp_path: Path) -> None:
    """Samples older than allowed are told apart from missing ones, and change nothing."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
        memory = running.memory
    now_s = site.prometheus.value("vector(time())")
    assert now_s is not None
    text = stale_page().replace("{at_ms}", str(int((now_s - 120) * 1000)))
    with serving(lambda _: Told(200, text, "text/plain; version=0.0.4")) as server:
        target = server.url.removeprefix("http://")
        groups = [{"targets": [target], "labels": {"instance": each}} for each in (A, B, C, D)]
        job = scrape_job("vllm", [], static_configs=groups)
        with prometheus(tmp_path / "stale", [job]) as old:
            # The lookback of an instant query still finds them, which is the trap.
            site_like = Plant(tmp_path, old, site.nginx, {each: Page() for each in (A, B, C, D)})
            site_like.await_query("count(vllm:num_requests_running)", 4)
            with loop(site_like.config_text(), clock, memory) as running:
                clock.pass_by(120)
                tick = running.tick()
    assert (tick.result, tick.decision.reason) == (Result.HELD, PoolReason.BLIND_STALE)
    assert {why for why, _ in tick.decision.pools["llm"].target.reasons.values()} == {
        BackendReason.HELD_STALE
    }
    assert served_weights(site) == {A: 100, B: 100, C: 100, D: 100}


def test_partial_answer_holds(site: Plant) -> None:
    """An answer that Prometheus itself calls partial is not acted on."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
        memory = running.memory

    def forward(asked: Asked) -> Told:
        del asked
        body = {"status": "success", "data": {"resultType": "vector", "result": []}}
        return Told(200, json.dumps(body | {"warnings": ["store 10.0.0.9 did not answer"]}))

    with (
        serving(forward) as server,
        loop(site.config_text(url=server.url), clock, memory) as running,
    ):
        clock.pass_by(120)
        tick = running.tick()
    assert (tick.result, tick.decision.reason) == (Result.HELD, PoolReason.BLIND_PARTIAL)
    assert "10.0.0.9" in tick.decision.detail
    assert served_weights(site) == {A: 100, B: 100, C: 100, D: 100}


def test_restart_with_memory_needs_no_reload(site: Plant, tmp_path: Path) -> None:
    """A controller that comes back with its memory goes on where it was."""
    clock = Clock()
    store = StateFile(tmp_path / "state.json")
    with loop(site.config_text(), clock) as running:
        started(site, running)
        store.save(running.memory)
    memory, problem = store.load()
    assert not problem
    with loop(site.config_text(), clock, memory) as running:
        clock.pass_by(120)
        tick = running.tick()
    assert (tick.result, tick.decision.reason) == (Result.HELD, PoolReason.UNCHANGED)


def test_restart_without_memory_adopts(site: Plant) -> None:
    """A controller without memory takes over what Nginx serves instead of pushing it again."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
    with loop(site.config_text(), clock) as running:
        tick = running.tick()
    assert (tick.result, tick.decision.reason) == (Result.HELD, PoolReason.UNCHANGED)


def test_drift_is_mended(site: Plant) -> None:
    """A file put there by hand, and reloaded, is replaced by the confirmed one."""
    clock = Clock()
    with loop(site.config_text(), clock) as running:
        started(site, running)
        with loop(site.config_text(pools=_one_pool(f'[{{address: "{A}"}}]')), clock) as other:
            other.tick()
        assert served_weights(site) == {A: 100}
        clock.pass_by(61)
        tick = running.tick()
    assert (tick.result, tick.decision.reason) == (Result.CONFIRMED, PoolReason.DRIFT)
    assert served_weights(site) == {A: 100, B: 100, C: 100, D: 100}


def test_several_pools_share_one_reload(site: Plant) -> None:
    """Pools that change in one tick are applied together, and a blind one stops no other."""
    pools = (
        _one_pool(f'[{{address: "{A}"}}, {{address: "{B}"}}]')
        + _one_pool(f'[{{address: "{C}"}}, {{address: "{D}"}}]', name="second")
        + _one_pool('[{address: "127.0.0.1:20009"}]', name="unseen")
    )
    clock = Clock()
    with loop(site.config_text(pools=pools), clock) as running:
        assert running.tick().result == Result.CONFIRMED
        for busy in (A, C):
            site.pages[busy].gauges["vllm:kv_cache_usage_perc"] = 0.93
        site.await_query("count(vllm:kv_cache_usage_perc > 0.9)", 2)
        clock.pass_by(61)
        tick = running.tick()
        clock.pass_by(61)
        after = running.tick()
    assert tick.result == Result.CONFIRMED
    assert tick.decision.pools["unseen"].reason == PoolReason.BLIND_EMPTY
    found = parse(site.nginx.upstream_file.read_text())
    assert found is not None
    weights = {name: [each.weight for each in servers] for name, servers in found.pools.items()}
    assert weights == {"llm": [10, 100], "second": [10, 100], "unseen": [100]}
    assert after.result == Result.HELD


def test_name_without_address_is_left_out(site: Plant) -> None:
    """A name that does not resolve never reaches Nginx, which would refuse the whole file."""
    pools = _one_pool(f'[{{address: "{A}"}}, {{address: "no-such-host.invalid:8000"}}]')
    with loop(site.config_text(pools=pools), Clock()) as running:
        tick = running.tick()
    assert tick.error is None
    assert tick.decision.pools["llm"].target.reasons["no-such-host.invalid:8000"][0] == (
        BackendReason.UNRESOLVED
    )
    assert "invalid" not in site.nginx.upstream_file.read_text()
    assert served_weights(site) == {A: 100}


def test_name_is_written_as_its_address(site: Plant) -> None:
    """A name that resolves reaches Nginx as an address, and is still known by its name."""
    pools = _one_pool(f'[{{address: "{A}"}}, {{address: "localhost:20002", instance: "{B}"}}]')
    with loop(site.config_text(pools=pools), Clock()) as running:
        assert running.tick().error is None
    assert "server 127.0.0.1:20002 " in site.nginx.upstream_file.read_text()
    assert served_weights(site) == {A: 100, "localhost:20002": 100}


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (r'[{address: "127.0.0.1:20001\nserver 6.6.6.6:1"}]', "expected a host name"),
        (r'[{address: "127.0.0.1:20001\n"}]', "expected a port"),
        (r'[{address: "127.0.0.1 backup:20001"}]', "expected a host name"),
        ('[{address: "127.0.0.1:20001"}]\n    upstream: {zone_size_kib: 32}', "too small"),
    ],
)
def test_unsafe_values_never_reach_nginx(site: Plant, pool: str, expected: str) -> None:
    """What Nginx could not take, or would take for more than an address, is refused at once."""
    before = site.nginx.upstream_file.read_text()
    with (
        pytest.raises(ConfigError, match=expected),
        loop(site.config_text(pools=_one_pool(pool)), Clock()),
    ):
        pass
    assert site.nginx.upstream_file.read_text() == before


def _one_pool(backends: str, name: str = "llm") -> str:
    return f"""
  - name: {name}
    selector: job="vllm"
    rate_window: 5s
    policy: {{name: ladder}}
    backends: {backends}
"""
