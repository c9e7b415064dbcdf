"""The pod of the balancer: what it may do and write, when it is sent requests, how it ends."""

import re
import subprocess
from pathlib import Path

import pytest

from controller.app.cli import DEFAULT_URL
from controller.app.load import parse
from lab.nginx import render_conf, seed_text
from tests.unit.kubernetes.built import (
    ROOT,
    Built,
    Manifest,
    containers,
    environment,
    mounts,
)

SHARED = "/var/lib/vllm-nginx-lb"
USERS = {"controller": 10001, "nginx": 101}
IMAGES = {
    "controller": "vllm-nginx-lb/controller:0.1.0",
    "log-directory": "vllm-nginx-lb/nginx:0.1.0",
    "mtail": "vllm-nginx-lb/mtail:0.1.0",
    "nginx": "vllm-nginx-lb/nginx:0.1.0",
    "nginx-exporter": "nginx/nginx-prometheus-exporter:1.5.3",
}
ONE = seed_text("llm", ("10.8.3.17:8000",))
DRAINED_S = 900  # what streams are given wherever something is taken away, docs/autoscaling.md


def seconds(probe: Manifest) -> int:
    """How long a probe fails before it has consequences."""
    length: int = probe["periodSeconds"] * probe["failureThreshold"]
    return length


def size(text: str) -> int:
    """Bytes, as Kubernetes or Nginx writes them."""
    found = re.fullmatch(r"(\d+)([kKmMgG])i?", text)
    assert found
    return int(found[1]) << {"k": 10, "m": 20, "g": 30}[found[2].lower()]


def rendered(container: Manifest) -> str:
    """The nginx.conf that the hook renders in the container of Nginx."""
    variables = environment(container)
    shared = {"LB_UPSTREAM_FILE": f"{SHARED}/live/upstream.conf"}
    return render_conf({"LB_NGINX_VERSION": "1.30.4", **shared, **variables})


def written(conf: str) -> set[str]:
    """The paths that Nginx writes to with a configuration."""
    paths = re.findall(
        r"^\s*(?:pid|error_log|access_log|\w+_temp_path) (/[^ ;]+)", conf, re.MULTILINE
    )
    return set(paths)


def test_a_pod_keeps_to_the_restricted_standard(built: Built) -> None:
    """No root, no privilege, no capability, no writable root, no token: for every container."""
    pod = built.pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys()
    for volume in pod["volumes"]:
        assert volume.keys() - {"name"} <= {"emptyDir", "configMap", "secret"}
    for container in containers(pod):
        allowed = container["securityContext"]
        assert allowed["runAsUser"] > 0
        assert allowed["runAsGroup"] > 0
        assert allowed["allowPrivilegeEscalation"] is False
        assert allowed["readOnlyRootFilesystem"] is True
        assert allowed["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "procMount"} & allowed.keys()


def test_an_account_has_no_rights(built: Built) -> None:
    """Nobody gets a token, and nothing binds a role."""
    (account,) = built.of_kind("ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert not any("Role" in each["kind"] for each in built.objects)


def test_users_are_those_of_the_images(built: Built) -> None:
    """Nginx and the controller run as the users whom the directories in the images belong to."""
    for name, user in USERS.items():
        assert built.container(name)["securityContext"]["runAsUser"] == user


def test_images_are_pinned_as_everywhere(built: Built) -> None:
    """Every container has the image and the tag that the rest of the project uses."""
    for container in containers(built.pod):
        assert container["image"] == IMAGES[container["name"]]


def test_only_one_side_writes_each_directory(built: Built) -> None:
    """The controller writes requests, the watcher writes answers and the live file."""
    writers = {"req": "controller", "ack": "nginx", "live": "nginx"}
    for name in ("controller", "nginx"):
        writable = mounts(built.container(name))
        assert {each: writable[f"{SHARED}/{each}"] for each in writers} == {
            each: writer == name for each, writer in writers.items()
        }


def test_every_empty_directory_is_bounded(built: Built) -> None:
    """No volume of the pod can fill the disk of its node."""
    for volume in built.pod["volumes"]:
        if "emptyDir" in volume:
            assert re.fullmatch(r"\d+[MG]i", volume["emptyDir"]["sizeLimit"])


def test_nginx_writes_only_where_it_may(built: Built) -> None:
    """With a root that is read-only, each path that Nginx or its hook writes is on a volume."""
    container = built.container("nginx")
    variables = environment(container)
    paths = written(rendered(container)) | {variables["LB_NGINX_CONF"], variables["LB_PID"]}
    assert len(paths) == 9
    writable = [Path(path) for path, may in mounts(container).items() if may]
    # In the base the log is the image's links to the output of the container.
    outputs = {"/var/log/nginx/access.log", "/var/log/nginx/error.log"}
    outside = {path for path in paths if not set(writable) & set(Path(path).parents)}
    assert outside == (outputs if variables["LB_LOG_DIR"] == "/var/log/nginx" else set())


def test_nginx_reads_the_configuration_that_the_hook_writes(built: Built) -> None:
    """The command and the preStop name the file of LB_NGINX_CONF, and the entry point stays."""
    container = built.container("nginx")
    conf = environment(container)["LB_NGINX_CONF"]
    assert "command" not in container
    assert container["args"][:3] == ["nginx", "-c", conf]
    assert f"nginx -c {conf} -s quit" in container["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_variables_are_known_to_the_scripts(built: Built) -> None:
    """Each variable of the container is one that a script of deploy/nginx documents."""
    scripts = (ROOT / "deploy/nginx").glob("*.sh")
    heads = "".join(script.read_text().partition("\nset -")[0] for script in scripts)
    assert set(environment(built.container("nginx"))) <= set(re.findall(r"\bLB_\w+(?==)", heads))


def test_ports_are_those_that_are_listened_on(built: Built) -> None:
    """The port of the entry point is Nginx's, and that of the metrics is the controller's."""
    listened = re.findall(r"^\s*listen (\S+);", rendered(built.container("nginx")), re.MULTILINE)
    (entry,) = built.container("nginx")["ports"]
    assert listened == [str(entry["containerPort"]), "127.0.0.1:8081"]
    (metrics,) = built.container("controller")["ports"]
    assert DEFAULT_URL.endswith(f":{metrics['containerPort']}")


@pytest.fixture
def wget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose text Nginx answers with, in place of its status server; empty: no answer."""
    said = tmp_path / "said"
    stand_in = tmp_path / "bin" / "wget"
    stand_in.parent.mkdir()
    stand_in.write_text(
        '#!/bin/sh\n[ "$*" = "-q -O - http://127.0.0.1:8081/lb/generation" ] || exit 2\n'
        f'[ -s "{said}" ] && cat "{said}"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(stand_in.parent), prepend=":")
    return said


@pytest.mark.parametrize(
    ("text", "served", "opens"),
    [
        (None, None, False),
        ("", None, False),
        (seed_text("llm"), seed_text("llm"), False),
        (ONE, ONE, True),
        (ONE, seed_text("llm"), False),
        (ONE, None, False),
        (seed_text("llm") + ONE, seed_text("llm"), True),
    ],
    ids=["absent", "empty", "placeholder", "one", "not-yet-served", "no-answer", "one-of-two"],
)
def test_the_gate_opens_with_the_first_backend(
    built: Built, tmp_path: Path, wget: Path, text: str | None, served: str | None, *, opens: bool
) -> None:
    """Nginx has not started, for Kubernetes, until it serves a file with a real backend."""
    file = tmp_path / "upstream.conf"
    if text is not None:
        file.write_text(text)
    generation = re.search(r'default "(\w+)";', served) if served else None
    wget.write_text(f"{generation[1]}\n" if generation else "")
    *shell, script = built.container("nginx")["startupProbe"]["exec"]["command"]
    assert f"{SHARED}/live/upstream.conf" in script
    asked = script.replace(f"{SHARED}/live/upstream.conf", str(file))
    done = subprocess.run([*shell, asked], check=False, capture_output=True)
    assert (done.returncode == 0) == opens


def test_a_confirmed_generation_is_asked_for_once(built: Built) -> None:
    """The controller's readiness lets a pod in and never puts it out again."""
    controller = built.container("controller")
    assert controller["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert "readinessProbe" not in controller


def test_readiness_asks_nginx_alone(built: Built) -> None:
    """A full or dead backend makes no Nginx unready: the answer needs no backend."""
    container = built.container("nginx")
    for name in ("readinessProbe", "livenessProbe"):
        probe = container[name]["httpGet"]
        assert probe["port"] == "http"
        block = re.search(rf"location = {probe['path']} {{(.*?)}}", rendered(container), re.DOTALL)
        assert block
        assert "return 200" in block[1]
        assert "proxy_pass" not in block[1]


def test_restarts_come_late(built: Built) -> None:
    """A container that is slow is put out of service long before it is started again."""
    nginx = built.container("nginx")
    assert seconds(nginx["livenessProbe"]) >= 4 * seconds(nginx["readinessProbe"])
    for name in ("nginx", "controller"):
        container = built.container(name)
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        # A gate that fails for long starts the container again, so it waits.
        assert seconds(container["startupProbe"]) >= 3600
        # What hangs is not given the minutes that streams are.
        assert container["livenessProbe"]["terminationGracePeriodSeconds"] <= 60


def test_a_rollout_waits_as_long_as_its_probes(built: Built) -> None:
    """No Deployment counts as failed while a startup probe may still succeed."""
    for deployment in built.of_kind("Deployment"):
        probes = [
            each["startupProbe"]
            for each in deployment["spec"]["template"]["spec"]["containers"]
            if "startupProbe" in each
        ]
        longest = max(seconds(probe) for probe in probes)
        assert deployment["spec"]["progressDeadlineSeconds"] >= longest + 600


def test_bodies_fit_their_volume_and_buffers_the_memory(built: Built) -> None:
    """Two hundred of the largest requests at once neither evict the pod nor kill Nginx."""
    nginx = built.container("nginx")
    variables = environment(nginx)
    (volume,) = [each for each in built.pod["volumes"] if each["name"] == "bodies"]
    assert rendered(nginx).count(f"client_max_body_size {variables['LB_BODY_MAX']};") == 1
    assert size(volume["emptyDir"]["sizeLimit"]) >= 200 * size(variables["LB_BODY_MAX"])
    memory = size(nginx["resources"]["limits"]["memory"])
    assert memory >= 2 * 200 * size(variables["LB_BODY_BUFFER"])


def test_an_engine_is_drained_as_long_as_nginx(example: Built) -> None:
    """A server that goes first waits until nobody sends to it, then for streams as Nginx does."""
    pod = example.one("Deployment", "vllm-qwen")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    hook = container["lifecycle"]["preStop"]["exec"]["command"][-1]
    first = re.search(r"time\.sleep\((\d+)\)", hook)
    assert first
    (interval,) = [
        int(each["interval"].removesuffix("s"))
        for each in example.one("ServiceMonitor", "vllm-qwen")["spec"]["endpoints"]
    ]
    control = parse(example.configuration, "config.yaml").control
    # Discovery hands on changes every 5 s, and the old series ends with the second missed scrape.
    known = 5 + 1 + 2.1 * interval
    assert int(first[1]) >= known + control.forget_after + control.interval + 20
    assert pod["terminationGracePeriodSeconds"] >= int(first[1]) + DRAINED_S


def test_streams_may_end(built: Built) -> None:
    """A pod that goes waits until nobody sends to it, then for streams as long as vLLM does."""
    (command,) = [built.container("nginx")["lifecycle"]["preStop"]["exec"]["command"][-1]]
    wait = re.match(r"sleep (\d+); ", command)
    assert wait
    assert int(wait[1]) >= 10
    assert built.pod["terminationGracePeriodSeconds"] >= int(wait[1]) + DRAINED_S


def test_the_signal_of_the_image_is_gentle() -> None:
    """No image file replaces the SIGQUIT of the public Nginx image, which waits for streams."""
    text = (ROOT / "deploy/images/nginx.Dockerfile").read_text()
    assert set(re.findall(r"^STOPSIGNAL (\S+)", text, re.MULTILINE)) <= {"SIGQUIT"}


def test_resources_are_said(built: Built) -> None:
    """Every container asks for CPU and memory, and only memory is limited."""
    for container in containers(built.pod):
        resources = container["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}
        assert resources["limits"].keys() == {"memory"}


def test_a_rollout_and_a_drain_take_one_pod_at_a_time(built: Built) -> None:
    """A pod goes only when another is ready, and a drained node takes one."""
    spec = built.balancer["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = built.one("PodDisruptionBudget", "vllm-nginx-lb")["spec"]
    assert budget["maxUnavailable"] == 1
    spread = built.pod["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    # Of one version only: what goes in a rollout must not decide where the new ones run.
    assert all(each["matchLabelKeys"] == ["pod-template-hash"] for each in spread)


def test_services_of_a_namespace_do_not_set_our_variables(built: Built) -> None:
    """A Service with the name lb would make variables that begin with LB_."""
    assert built.pod["enableServiceLinks"] is False


def test_the_log_for_mtail_is_a_bounded_file(example: Built) -> None:
    """Nginx writes the file that mtail reads, and puts it aside before the volume is full."""
    nginx, mtail = example.container("nginx"), example.container("mtail")
    variables = environment(nginx)
    log = f"{variables['LB_LOG_DIR']}/access.log"
    assert f"--logs={log}" in mtail["args"]
    assert log in written(rendered(nginx))
    assert mounts(mtail)[variables["LB_LOG_DIR"]] is False
    (limit,) = [
        volume["emptyDir"]["sizeLimit"]
        for volume in example.pod["volumes"]
        if volume["name"] == "logs"
    ]
    assert limit == "1Gi"
    # Two files, and what is written between two looks at their size.
    assert 4 * int(variables["LB_LOG_MAX_BYTES"]) < 2**30
    (first,) = example.pod["initContainers"]
    assert first["command"][-1] == f"{variables['LB_LOG_DIR']}/error.log"


def test_mtail_is_started_as_its_image_does(example: Built) -> None:
    """Each option of mtail is one that the image gives it, so that metrics look the same."""
    text = (ROOT / "deploy/images/mtail.Dockerfile").read_text()
    for option in example.container("mtail")["args"]:
        name, _, value = option.partition("=")
        if name != "--logs":
            assert name in text
            assert value in text


def test_the_exporter_asks_where_nginx_answers(example: Built) -> None:
    """The exporter's address is the status server's, which only the pod can reach."""
    (option,) = example.container("nginx-exporter")["args"]
    listen = environment(example.container("nginx"))["LB_STATUS_LISTEN"]
    assert option == f"--nginx.scrape-uri=http://{listen}/stub_status"
    assert "location = /stub_status {" in rendered(example.container("nginx"))
