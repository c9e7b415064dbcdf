"""The number of backends that the rules ask for, against what a simulated fleet needs."""

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bench.suite.contenders import CONTENDERS, Course
from bench.suite.traces import merged, trace
from controller.core.model import Snapshot
from simulator.fleet import controlling, prometheus
from simulator.fleet.pool import EngineSpec, Pool
from simulator.fleet.results import RunResult
from simulator.fleet.running import run
from simulator.fleet.saturation import saturation_rate
from simulator.presets import A100

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "autoscaling.md").read_text()
# Of what one server carries at most; 0.7 of it asks for four.
OFFERED = 2.8
TICK_S, LENGTH_S = 10, 900.0
CONTROLLER = 'job="vllm-nginx-lb",instance="lb:9808"'


def table() -> Iterator[tuple[int, list[float]]]:
    """The rows of the page's table: how many backends serve, and what comes of it."""
    section = PAGE.split("### Against a simulated fleet")[1].split("\n#")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0].isdigit():
            yield int(cells[0]), [float(cell) for cell in cells[1:]]


ROWS = dict(table())


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[Snapshot]:
    """What the controller saw, tick by tick; patched since a run's result keeps decisions only."""
    seen: list[Snapshot] = []
    observe = prometheus.observe

    def watched(*arguments: object, **settings: object) -> Snapshot:
        seen.append(observe(*arguments, **settings))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(controlling, "observe", watched)
    return seen


def fleet(backends: int) -> RunResult:
    """Fifteen minutes of recorded conversations on so many equal servers."""
    spec = EngineSpec(A100)
    recorded = trace("azure_conv", A100.max_model_len)
    rate = saturation_rate(spec, recorded)
    pool = Pool((spec,) * backends)
    router = CONTENDERS["capacity_spill"].router(Course(pool, (rate,) * backends))
    return run(pool, merged(recorded, OFFERED * rate, LENGTH_S, 1), router, seed=1)


def series(result: RunResult, snapshots: list[Snapshot]) -> dict[str, list[float | None]]:
    """What the controller and the engines' recordings would have told Prometheus at each tick."""
    values: dict[str, list[float | None]] = {}

    def put(name: str, labels: str, value: float | None) -> None:
        values.setdefault(f"{name}{{{labels}}}", [None] * index).append(value)

    for index, (tick, snapshot) in enumerate(zip(result.ticks, snapshots, strict=True)):
        decision = tick.decision.pools["pool"]
        put("vllm_nginx_lb_pool_info", f'{CONTROLLER},pool="pool"', 1)
        put("vllm_nginx_lb_pool_blind", f'{CONTROLLER},pool="pool",reason="none"', 0)
        put("vllm_nginx_lb_last_tick_timestamp_seconds", CONTROLLER, TICK_S * index)
        put("vllm_nginx_lb_tick_interval_seconds", CONTROLLER, TICK_S)
        for server in decision.target.servers:
            address = server.address
            here = f'{CONTROLLER},pool="pool",backend="{address}"'
            seen = snapshot.pools["pool"].observations[address].signals
            signals = {str(name): value for name, value in seen.items()}
            carries = decision.carries.get(address)
            put("vllm_nginx_lb_backend_info", f'{here},engine_instance="{address}"', 1)
            put("vllm_nginx_lb_backend_weight_desired", here, server.weight)
            for name in ("running", "waiting", "kv_usage"):
                put(
                    "vllm_nginx_lb_backend_signal",
                    f'{here},signal="{name}"',
                    signals.get(name),
                )
            put(
                "vllm_nginx_lb_backend_capacity_tokens_per_second",
                here,
                carries.tokens_per_s if carries else None,
            )
            put("vllm_nginx_lb_backend_slots", here, carries.slots if carries else None)
            put(
                "backend:output_tokens:rate1m",
                f'job="vllm",instance="{address}"',
                signals.get("generation_rate"),
            )
    return values


def holds(values: dict[str, list[float | None]], expressions: list[str], tmp_path: Path) -> str:
    """What promtool says against these expressions, each of which has to be 1; empty if nothing."""
    tests = {
        "rule_files": [str(ROOT / "rules" / "autoscaling.yml")],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": f"{TICK_S}s",
                "input_series": [
                    {
                        "series": name,
                        "values": " ".join("_" if v is None else f"{v:.9g}" for v in each),
                    }
                    for name, each in values.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": each,
                        "eval_time": "14m",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    }
                    for each in expressions
                ],
            }
        ],
    }
    file = tmp_path / "fleet.yml"
    file.write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", file], check=False, capture_output=True, text=True
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("backends", ROWS)
def test_the_rules_ask_for_what_keeps_the_objectives(
    backends: int, snapshots: list[Snapshot], tmp_path: Path
) -> None:
    """Whatever number serves, load, number asked for and goodput are those of the page."""
    load, sequences, needed, without, goodput = ROWS[backends]
    result = fleet(backends)
    told = series(result, snapshots)
    middle = 'sum(quantile_over_time(0.5, pool:{}{{pool="pool"}}[10m]))'
    expected = [
        f"abs({middle.format('load:ratio')} - {load}) < bool 0.03",
        f"abs({middle.format('saturation:ratio')} - {sequences}) < bool 0.03",
        f"{middle.format('backends_needed:count')} == bool {needed}",
    ]
    assert not holds(told, expected, tmp_path)
    silent = {name: each for name, each in told.items() if not name.startswith("backend:")}
    blunt = f"{middle.format('backends_needed:count')} == bool {without}"
    assert not holds(silent, [blunt], tmp_path)
    assert math.isclose(result.summary().goodput, goodput, abs_tol=0.01)
