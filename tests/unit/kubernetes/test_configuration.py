"""The controllers take their config.yaml, and it agrees with the objects around it."""

import re
from typing import Any

from controller.adapters.prometheus import InstanceMapping
from controller.app.config import Config, SharedVolumeNginxConfig
from controller.app.load import parse
from tests.unit.kubernetes.built import ROOT, Built, Manifest, environment, mounts


def config_of(built: Built) -> Config:
    """The configuration, checked as the controller does."""
    return parse(built.configuration, f"{built.name}/config.yaml")


def way(built: Built) -> SharedVolumeNginxConfig:
    """The way to Nginx."""
    nginx = config_of(built).nginx
    assert isinstance(nginx, SharedVolumeNginxConfig)
    return nginx


def egress(built: Built) -> list[dict[str, Any]]:
    """All that the pod may connect to."""
    return [
        rule for each in built.of_kind("NetworkPolicy") for rule in each["spec"].get("egress", ())
    ]


def ports(rule: Manifest) -> set[tuple[str, int]]:
    """Protocol and number of the ports of a rule."""
    return {(each["protocol"], each["port"]) for each in rule["ports"]}


def vllm_of(example: Built) -> Manifest:
    """The container of vLLM."""
    pod = example.one("Deployment", "vllm-qwen")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    found: Manifest = container
    return found


def test_the_controller_takes_the_configuration(built: Built) -> None:
    """Every config.yaml is one that the controller starts with, and it is where it looks."""
    assert config_of(built).pools
    assert "/etc/vllm-nginx-lb" in mounts(built.container("controller"))


def test_slots_are_divided_by_the_number_of_pods(built: Built) -> None:
    """nginx.replicas is spec.replicas, or the pods together let in too many or too few."""
    assert way(built).replicas == built.balancer["spec"]["replicas"]


def test_both_sides_mean_the_same_directory_and_status_server(built: Built) -> None:
    """The controller writes where the watcher reads, asks where Nginx answers, and may save."""
    nginx = way(built)
    writable = mounts(built.container("controller"))
    assert {f"{nginx.directory}/{name}" for name in ("req", "ack", "live")} <= writable.keys()
    listen = environment(built.container("nginx"))["LB_STATUS_LISTEN"]
    assert nginx.confirm_url == f"http://{listen}/lb/generation"
    file = config_of(built).state.file
    assert file is not None
    assert writable[str(file.parent)] is True


def test_nginx_serves_the_pools(built: Built) -> None:
    """Every pool of the configuration is one that the hook of Nginx seeds, and the other way."""
    variables = environment(built.container("nginx"))
    named = {variables["LB_POOL"], *variables.get("LB_POOLS", "").split()}
    assert {pool.name for pool in config_of(built).pools} == named


def test_probes_and_scrapes_reach_the_controller(built: Built) -> None:
    """The controller listens on all addresses of the pod, on the port that is declared."""
    (port,) = built.container("controller")["ports"]
    assert config_of(built).telemetry.listen == f"0.0.0.0:{port['containerPort']}"


def test_only_monitoring_reaches_the_metrics(built: Built) -> None:
    """Of the ports of the pod only the entry point is open to everybody."""
    rules = [
        rule for each in built.of_kind("NetworkPolicy") for rule in each["spec"].get("ingress", ())
    ]
    everybody = [rule for rule in rules if "from" not in rule]
    assert [ports(rule) for rule in everybody] == [{("TCP", 8080)}]
    monitoring = {"kubernetes.io/metadata.name": "monitoring"}
    others = [rule for rule in rules if "from" in rule]
    for rule in others:
        assert rule["from"] == [{"namespaceSelector": {"matchLabels": monitoring}}]
    open_ports = {number for rule in others for _, number in ports(rule)}
    declared = {port["containerPort"] for each in built.pod["containers"] for port in each["ports"]}
    assert open_ports == declared - {8080}


def test_the_pod_reaches_names_prometheus_and_backends_only(built: Built) -> None:
    """Every policy names both peers and ports, and the Prometheus of the configuration is one."""
    rules = egress(built)
    assert all(rule["to"] and rule["ports"] for rule in rules)
    assert len(rules) == 3
    host = re.fullmatch(
        r"http://[a-z0-9-]+\.([a-z0-9-]+)\.svc:(\d+)(?:/\w+)?", config_of(built).prometheus.url
    )
    assert host
    space = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": host[1]}}}
    assert [rule["to"] for rule in rules if ports(rule) == {("TCP", int(host[2]))}] == [[space]]
    assert [rule["to"] for rule in rules if ports(rule) == {("TCP", 8000)}] == [
        [{"podSelector": {}}]
    ]
    (names,) = [rule["to"] for rule in rules if ports(rule) == {("TCP", 53), ("UDP", 53)}]
    kube_system = {"kubernetes.io/metadata.name": "kube-system"}
    assert names == [{"namespaceSelector": {"matchLabels": kube_system}}]


def test_only_servers_that_are_ready_are_backends(built: Built) -> None:
    """Each pool selects by the label that relabelling sets for servers that load or go."""
    for pool in config_of(built).pools:
        assert 'ready="true"' in str(pool.selector).split(",")


def test_the_address_of_a_pod_is_its_instance(built: Built) -> None:
    """What the operator calls an instance is what Nginx connects to, as it stands."""
    for pool in config_of(built).pools:
        assert pool.discovery is not None
        mapping = InstanceMapping(pool.discovery.regex, pool.discovery.replacement)
        assert mapping.address("10.8.3.17:8000") == "10.8.3.17:8000"


def test_secrets_are_files_that_the_controller_may_read(built: Built) -> None:
    """A token is on a mounted Secret, readable for the group of the pod and for nobody else."""
    file = config_of(built).prometheus.bearer_token_file
    secrets = [each for each in built.pod["volumes"] if "secret" in each]
    if file is None:
        assert not secrets
        return
    (secret,) = secrets
    assert secret["secret"]["defaultMode"] == 0o440
    assert built.pod["securityContext"]["fsGroup"] == 10001
    (mounted,) = [
        each["mountPath"]
        for each in built.container("controller")["volumeMounts"]
        if each["name"] == secret["name"]
    ]
    assert str(file.parent) == mounted


def test_the_example_finds_its_servers(example: Built) -> None:
    """Selector, model and window of the pool are those of the monitor and of the servers."""
    (pool,) = config_of(example).pools
    monitor = example.one("ServiceMonitor", "vllm-qwen")
    (end,) = monitor["spec"]["endpoints"]
    jobs = [step["replacement"] for step in end["relabelings"] if step.get("targetLabel") == "job"]
    namespace = monitor["metadata"]["namespace"]
    assert str(pool.selector) == f'job="{jobs[0]}",namespace="{namespace}",ready="true"'
    assert pool.rate_window >= 4 * int(end["interval"].removesuffix("s"))
    vllm = vllm_of(example)
    assert f"--served-model-name={pool.model_name}" in vllm["args"]
    (port,) = vllm["ports"]
    assert port == {"name": end["port"], "containerPort": 8000}
    assert f"--port={port['containerPort']}" in vllm["args"]


def test_an_autoscaler_finds_the_example() -> None:
    """The pool and the Deployment of the example are those of deploy/autoscaling."""
    hpa = (ROOT / "deploy/autoscaling/hpa.yaml").read_text()
    for text in ("name: vllm-qwen", "namespace: inference", "pool: qwen", "model_name: qwen3-8b"):
        assert text in hpa
