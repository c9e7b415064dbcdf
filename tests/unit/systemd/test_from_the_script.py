"""docs/from-the-script.md says of every setting of the public script where it is now."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from controller.app.config import Config
from controller.app.load import load, parse
from controller.app.wiring import limits_of, spec_of
from controller.core.model import Server
from controller.core.reasons import PoolReason
from controller.core.render import Upstream, UpstreamOptions, render
from controller.core.stabilise import difference
from controller.policy.capacity import Capacity
from controller.policy.ladder import Ladder

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "from-the-script.md").read_text()
EXAMPLE = ROOT / "deploy" / "examples" / "from-the-script.yaml"


def merged(tmp_path: Path) -> Config:
    """The configuration that the page's commands make."""
    (block,) = (
        found for found in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "sed -n" in found
    )
    target = tmp_path / "config.yaml"
    commands = block.replace("/etc/vllm-nginx-lb/config.yaml", str(target))
    subprocess.run(["sh", "-euc", commands], cwd=ROOT, check=True)
    return load(target)


def test_example_has_the_values_of_the_script() -> None:
    """Thresholds, weights, steps, name, passive checks, connections and rhythm are the script's."""
    config = load(EXAMPLE)
    (pool,) = config.pools
    assert pool.policy == Ladder(
        thresholds=(0.92, 0.85, 0.75), weights=(10, 30, 60, 100), busy_running=8
    )
    assert pool.name == "llm_cluster"
    assert (pool.upstream.max_fails, pool.upstream.fail_timeout) == (10, 60)
    assert (pool.upstream.keepalive, config.control.interval) == (64, 10)


def test_upstream_is_the_one_of_the_script() -> None:
    """What is rendered has every line that the script writes, and a zone besides."""
    (pool,) = load(EXAMPLE).pools
    text = render([Upstream(pool.name, [Server("10.0.0.11:8000", 60)], spec_of(pool).options)]).text
    for line in (
        "upstream llm_cluster {",
        "    least_conn;",
        "    server 10.0.0.11:8000 weight=60 max_fails=10 fail_timeout=60s;",
        "    keepalive 64;",
    ):
        assert f"{line}\n" in text


def test_commands_make_the_configuration_of_a_host(tmp_path: Path) -> None:
    """The pool of the script under its trial name, and the way to Nginx of the services."""
    config = merged(tmp_path)
    host = load(ROOT / "deploy" / "examples" / "plain-host.yaml")
    script = load(EXAMPLE)
    assert (config.nginx, config.state) == (host.nginx, host.state)
    assert config.control == script.control
    (pool,), (of_script,) = config.pools, script.pools
    assert pool == of_script.model_copy(update={"name": "llm"})


@pytest.mark.parametrize(("before", "after"), [(100, 60), (60, 100), (60, 30), (30, 10), (10, 30)])
def test_no_step_of_the_ladder_is_held(before: int, after: int) -> None:
    """The page is right that each step is larger than the dead-band."""
    limits = limits_of(load(EXAMPLE))
    servers = (Server("10.0.0.11:8000", before), Server("10.0.0.12:8000", 100))
    wanted = (replace(servers[0], weight=after), servers[1])
    assert difference(wanted, servers, limits)[0] == PoolReason.WEIGHTS


def test_rhythm_of_the_script(tmp_path: Path) -> None:
    """The setting that the page names for the script's rhythm is taken up."""
    merged(tmp_path)
    text = (tmp_path / "config.yaml").read_text()
    setting = "min_interval: 10s"
    assert f"`{setting}` under `control`" in PAGE
    quick = parse(re.sub(r"min_interval: \S+", setting, text), "page")
    assert limits_of(quick).min_interval_s == limits_of(quick).fast_interval_s == 10


def test_block_of_the_default_policy() -> None:
    """The last block of the page is the default policy, and the defaults are as it says."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    text = EXAMPLE.read_text()
    values = yaml.safe_load(text)
    values["pools"][0] |= yaml.safe_load(block)
    (pool,) = parse(yaml.safe_dump(values), "page").pools
    assert pool.policy == Capacity()
    defaults = UpstreamOptions()
    assert (defaults.max_fails, defaults.fail_timeout_s) == (2, 30)
    assert "the defaults, 2 and 30 s" in PAGE


def test_every_setting_of_the_example_is_mapped() -> None:
    """Each key of the example that the script has in some form stands in the page's table."""
    table = PAGE.partition("## Where everything is now")[2].partition("\n## ")[0]
    for key in (
        "backends",
        "thresholds",
        "weights",
        "busy_running",
        "interval",
        "bearer_token_file",
    ):
        assert f"{key}:" in EXAMPLE.read_text()
        assert key in table
