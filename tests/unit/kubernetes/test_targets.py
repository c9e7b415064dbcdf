"""What a real Prometheus makes of the pods that discovery tells it, with our relabelling."""

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.app.load import parse
from lab.exposition import Samples, page
from lab.processes import await_true, free_port
from lab.prometheus import Alerting, RunningPrometheus, prometheus
from lab.quick_rules import quick_rules
from tests.integration.prometheus_faults import Told, serving
from tests.integration.prometheus_observing import observe_one, pool
from tests.integration.prometheus_pages import CAPTURES
from tests.unit.kubernetes.built import ROOT, Built, Manifest

pytestmark = pytest.mark.integration

# What Prometheus says of an endpoint, by its two roles for Services. The older one, which the
# operator uses unless told otherwise, does not know a pod that goes.
META = "__meta_kubernetes_"
SLICE = f"{META}endpointslice_endpoint_conditions_"
READY = {f"{SLICE}ready": "true", f"{SLICE}serving": "true", f"{SLICE}terminating": "false"}
LOADING = READY | {f"{SLICE}ready": "false", f"{SLICE}serving": "false"}
# Its probe goes on passing while its preStop runs.
GOING = READY | {f"{SLICE}ready": "false", f"{SLICE}terminating": "true"}
OLDER_READY = {f"{META}endpoint_ready": "true"}
OLDER_LOADING = {f"{META}endpoint_ready": "false"}
# A file that changed is read at once and handed on every five seconds, as is what Kubernetes says.
DISCOVERED_S = 20.0


@dataclass(frozen=True, slots=True)
class Discovery:
    """Prometheus with the jobs of monitors, and the files that it takes for discovery."""

    prometheus: RunningPrometheus
    directory: Path

    def tell(self, job: str, pods: Mapping[str, Mapping[str, str]]) -> None:
        """Say which addresses there are, with the labels of each."""
        _tell(self.directory / f"{job}.json", pods)

    def targets(self) -> set[tuple[str, str]]:
        """Job and instance of all that is scraped."""
        url = f"{self.prometheus.url}/api/v1/targets?state=active"
        with urllib.request.urlopen(url, timeout=10) as answer:
            active = json.load(answer)["data"]["activeTargets"]
        return {(each["labels"]["job"], each["labels"]["instance"]) for each in active}

    def ready(self, instance: str) -> set[str]:
        """The values of `ready` that an instance has now."""
        found = self.prometheus.query(f'up{{job="vllm",instance="{instance}"}}')
        return {each["metric"]["ready"] for each in found}


def _tell(file: Path, pods: Mapping[str, Mapping[str, str]]) -> None:
    groups = [{"targets": [address], "labels": dict(its)} for address, its in pods.items()]
    new = file.with_suffix(".new")
    new.write_text(json.dumps(groups))
    new.replace(file)


def scraped(endpoint: Manifest, name: str, file: Path) -> dict[str, Any]:
    """The job that the operator makes of an endpoint, with a file in place of Kubernetes."""

    def steps(field: str) -> list[dict[str, Any]]:
        return [
            {re.sub("[A-Z]", lambda big: f"_{big[0].lower()}", key): step[key] for key in step}
            for step in endpoint.get(field, ())
        ]

    own = [
        {"target_label": "namespace", "replacement": "inference"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]
    return {
        "job_name": name,
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "file_sd_configs": [{"files": [str(file)]}],
        "relabel_configs": own + steps("relabelings"),
        "metric_relabel_configs": steps("metricRelabelings"),
    }


def monitored(example: Built, name: str) -> list[Manifest]:
    """The endpoints of a ServiceMonitor."""
    endpoints: list[Manifest] = example.one("ServiceMonitor", name)["spec"]["endpoints"]
    return endpoints


@pytest.fixture
def addresses() -> Iterator[list[str]]:
    """Four engines that answer, and one that is dead."""
    told = Told(200, (CAPTURES / "02-moderate.prom").read_text(), "text/plain; version=0.0.4")
    with ExitStack() as stack:
        alive = [stack.enter_context(serving(lambda _: told)) for _ in range(4)]
        yield [
            *(each.url.removeprefix("http://") for each in alive),
            f"127.0.0.1:{free_port()}",
        ]


@pytest.fixture
def engines(example: Built, tmp_path: Path, addresses: list[str]) -> Iterator[Discovery]:
    """The example's engines, with all rules, evaluated every second."""
    one, two, three, four, dead = addresses
    pods = {
        one: READY,
        two: LOADING,
        three: OLDER_READY,
        four: OLDER_LOADING,
        dead: LOADING,
    }
    _tell(tmp_path / "vllm.json", pods)
    (endpoint,) = monitored(example, "vllm-qwen")
    rules = [
        quick_rules(path, tmp_path / path.name, 15)
        for path in sorted((ROOT / "rules").glob("*.yml"))
    ]
    with prometheus(
        tmp_path / "prometheus",
        [scraped(endpoint, "vllm", tmp_path / "vllm.json")],
        alerting=Alerting(rule_files=rules),
    ) as server:
        yield Discovery(server, tmp_path)


def test_the_controller_sees_who_is_ready(
    example: Built, engines: Discovery, addresses: list[str]
) -> None:
    """Who loads, goes or is dead is a target and no backend, and a change of that takes effect."""
    one, two, three, four, dead = addresses
    (configured,) = parse(example.configuration, "config.yaml").pools
    asked = pool("vllm", selector=str(configured.selector))

    def backends() -> set[str]:
        return set(observe_one(engines.prometheus, asked).observations)

    await_true(lambda: len(engines.prometheus.query("up")) == 5, DISCOVERED_S, "all are scraped")
    assert backends() == {one, three}
    assert engines.prometheus.value(f'up{{instance="{dead}",ready="false"}}') == 0
    assert engines.prometheus.value(f'up{{instance="{two}",ready="false"}}') == 1

    engines.tell(
        "vllm", {one: GOING, two: READY, three: OLDER_READY, four: OLDER_READY, dead: LOADING}
    )
    await_true(lambda: "false" in engines.ready(one), DISCOVERED_S, "it is known that one goes")
    # The series with the old label ends with the second scrape that it misses, not after the five
    # minutes that Prometheus looks back.
    await_true(lambda: engines.ready(one) == {"false"}, 5, "one has a single series")
    await_true(lambda: backends() == {two, three, four}, 5, "the controller sees who is ready")
    assert ("vllm", one) in engines.targets()


def test_a_change_of_the_label_breaks_no_rule(engines: Discovery, addresses: list[str]) -> None:
    """While an engine has two series of each kind no rule fails, and afterwards it counts once."""
    one, *others = addresses
    await_true(lambda: engines.ready(one) == {"true"}, DISCOVERED_S, "one is scraped")
    running = f'backend:requests_running:sum{{instance="{one}"}}'
    await_true(lambda: engines.prometheus.value(running) is not None, 10, "it is recorded")
    before = engines.prometheus.value(running)
    engines.tell("vllm", {one: GOING} | dict.fromkeys(others, READY))
    await_true(lambda: engines.ready(one) == {"true", "false"}, DISCOVERED_S, "both are there")
    await_true(lambda: engines.ready(one) == {"false"}, 5, "one has a single series")
    await_true(lambda: engines.prometheus.value(running) == before, 5, "it counts once")
    assert len(engines.prometheus.query(running)) == 1
    metrics = Samples.parse(page(engines.prometheus.url))
    assert metrics.value("prometheus_rule_evaluations_total") > 0
    assert metrics.value("prometheus_rule_evaluation_failures_total") == 0


def test_pods_of_the_balancer_that_go_are_no_targets(example: Built, tmp_path: Path) -> None:
    """Whose sidecars have ended while Nginx finishes its streams is not scraped; others are."""
    pods = {
        "127.0.0.1:1": READY,
        "127.0.0.1:2": LOADING,
        "127.0.0.1:3": GOING,
        "127.0.0.1:4": OLDER_READY,
        "127.0.0.1:5": OLDER_LOADING,
    }
    endpoints = monitored(example, "vllm-nginx-lb")
    jobs = []
    for endpoint in endpoints:
        _tell(tmp_path / f"{endpoint['port']}.json", pods)
        jobs.append(scraped(endpoint, endpoint["port"], tmp_path / f"{endpoint['port']}.json"))
    with prometheus(tmp_path / "prometheus", jobs) as server:
        found = Discovery(server, tmp_path)
        await_true(lambda: len(found.targets()) >= 3 * 4, DISCOVERED_S, "all are known")
        assert found.targets() == {
            (job, instance)
            for job in ("vllm-nginx-lb", "nginx-log", "nginx")
            for instance in pods
            if instance != "127.0.0.1:3"
        }


def test_alerts_know_who_is_ready_and_who_goes() -> None:
    """Dead and crashing engines are told of, drained and loading ones and a rollout are not."""
    done = subprocess.run(
        ["promtool", "test", "rules", Path(__file__).with_name("ready.yml")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
