"""The images: small, the same from build to build, restricted, and doing what they are for."""

import contextlib
import json
import re
import subprocess
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.processes import await_true
from tests.stack.conftest import BUILD, ROOT, succeed
from tests.stack.contained import contained, inspected, once
from tests.stack.leftovers import OF_THIS_RUN, removed

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.timeout(900)]

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION: str = PROJECT["version"]
CONTROLLER, NGINX, SIMULATOR, MTAIL = (
    f"vllm-nginx-lb/{name}:{VERSION}" for name in ("controller", "nginx", "simulator", "mtail")
)
ALL = (CONTROLLER, NGINX, SIMULATOR, MTAIL)
SHARED = "/var/lib/vllm-nginx-lb"
MEGABYTE = 1_000_000
KINDS = ("container", "volume", "network")
WAIT_S = 30.0
# What Nginx and the controller write, where no volume is at hand.
OF_NGINX = dict.fromkeys((f"{SHARED}/ack", f"{SHARED}/live"), "uid=101,gid=101")
OF_CONTROLLER = {f"{SHARED}/req": "uid=10001,gid=10001"}

# What the environment of an image has, one distribution a line.
DISTRIBUTIONS = """
import importlib.metadata
for each in importlib.metadata.distributions():
    print(each.name)
"""
# Modules without bytecode, and what no image should have.
LEFTOVERS = """
import importlib.util, pathlib, sysconfig
for path in sorted(pathlib.Path(sysconfig.get_path("purelib")).rglob("*")):
    if path.suffix == ".py" and not pathlib.Path(importlib.util.cache_from_source(path)).exists():
        print("no bytecode:", path)
    if path.name == "tests":
        print("tests:", path)
for path in map(pathlib.Path, ("/wheels", "/locks", "/source", "/build", "/dist")):
    if path.exists():
        print("of the build:", path)
"""
# One line for each file of the environment: path, mode, owner, size, time, and content or target.
TREE = """
find /opt/vllm-nginx-lb /var/lib/vllm-nginx-lb -mindepth 2 \
    \\( -type f -exec sha256sum {} + \\) -o -printf '%p %l\\n' | sort
find /opt/vllm-nginx-lb -mindepth 1 -printf '%p %m %U:%G %s %T@\\n' | sort
"""
LINE = (
    '{"time":"2026-11-21T12:00:00+00:00","msec":1795262400.000,"request_id":"a","client":"10.0.0.1",'
    '"method":"POST","uri":"/v1/completions","protocol":"HTTP/1.1","status":200,'
    '"request_bytes":100,"bytes":200,"request_time":0.500,"completion":"OK","pool":"llm",'
    '"upstream_addr":"10.0.0.2:8000","upstream_status":"200","upstream_connect_time":"0.001",'
    '"upstream_header_time":"0.100","upstream_response_time":"0.500","upstream_bytes":"200",'
    '"shed":false,"generation":"0000000000000000","user_agent":"test"}\n'
)


@pytest.fixture(autouse=True)
def built(images: Sequence[str]) -> None:
    """All tests here are about the images of this tree."""
    assert list(images) == list(ALL)


@contextlib.contextmanager
def volume() -> Iterator[str]:
    """An empty named volume."""
    name = f"lb-test-{uuid.uuid4().hex[:12]}"
    succeed("docker", "volume", "create", f"--label={OF_THIS_RUN}", name)
    try:
        yield name
    finally:
        succeed("docker", "volume", "rm", name)


def locked(lock: str) -> set[str]:
    """The names that a lock pins for Linux."""
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^([\w.-]+)==[^\n;]*(;[^\n\\]*)?", text, re.MULTILINE)
    return {name for name, marker in pins if "win32" not in marker}


@pytest.mark.parametrize("image", ALL)
def test_an_image_runs_as_nobody_in_particular_and_says_what_it_is(image: str) -> None:
    """Its user is a number but not root's; its labels name version, licence and revision."""
    config = inspected(image)["Config"]
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", config["User"])
    labels = {
        name.removeprefix("org.opencontainers.image."): text
        for name, text in config["Labels"].items()
    }
    assert labels["title"] == image.partition(":")[0].replace("/", " ")
    assert labels["version"] == VERSION
    assert labels["licenses"] == PROJECT["license"]
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["revision"])
    assert config["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize(
    ("image", "base", "megabytes"),
    [
        (CONTROLLER, "python:3.11-slim-bookworm", 60),
        (SIMULATOR, "python:3.11-slim-bookworm", 30),
        (NGINX, "nginxinc/nginx-unprivileged:1.30.4-alpine", 1),
        (MTAIL, "debian:bookworm-slim", 15),
    ],
)
def test_an_image_adds_little_to_its_base(image: str, base: str, megabytes: int) -> None:
    """What an image adds to its base is what it needs to run."""
    added = (inspected(image)["Size"] - inspected(base)["Size"]) / MEGABYTE
    assert 0 < added < megabytes


def test_the_controller_runs_without_any_right() -> None:
    """The command works with a read-only root file system, no capability and no network."""
    shown = once(CONTROLLER, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Usage: vllm-nginx-lb" in shown.stdout


def test_the_controller_without_a_configuration_says_what_is_missing() -> None:
    """A container that was given nothing ends with the code for that, and names the way out."""
    done = once(CONTROLLER)
    assert done.returncode == 2
    assert "/etc/vllm-nginx-lb/config.yaml" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("image", "lock", "own"),
    [
        (CONTROLLER, "requirements.lock", {"vllm-nginx-lb"}),
        (SIMULATOR, "deploy/images/simulator.lock", set()),
    ],
)
def test_an_image_has_what_its_lock_pins_and_nothing_else(
    image: str, lock: str, own: set[str]
) -> None:
    """No pip, no build backend and no package beyond the lock is shipped."""
    options = ["--entrypoint=python"]
    done = once(image, "-c", DISTRIBUTIONS, options=options)
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in done.stdout.split()}
    assert names == locked(lock) | own


@pytest.mark.parametrize("image", [CONTROLLER, SIMULATOR])
def test_an_image_has_bytecode_and_no_leftovers(image: str) -> None:
    """Each module has its bytecode, since nothing can write it later; the build left nothing."""
    done = once(image, "-c", LEFTOVERS, options=["--entrypoint=python"])
    assert (done.returncode, done.stdout) == (0, "")


def test_an_empty_volume_belongs_to_who_writes_it() -> None:
    """The controller may write req and state and nothing else; Nginx ack, live and its log."""
    place = f"for each in req state ack live; do touch {SHARED}/$each/x && echo $each; done"
    with contextlib.ExitStack() as stack:
        names = {each: stack.enter_context(volume()) for each in ("req", "state", "ack", "live")}
        mounts = [f"--volume={name}:{SHARED}/{each}" for each, name in names.items()]
        done = once(CONTROLLER, "-c", place, options=[*mounts, "--entrypoint=sh"])
        assert done.stdout.split() == ["req", "state"]
        mounts = [each for each in mounts if "/state" not in each]
        done = once(NGINX, "-c", place, options=[*mounts, "--entrypoint=sh"])
        assert done.stdout.split() == ["ack", "live"]


def test_an_empty_volume_of_nginx_belongs_to_nginx_whoever_comes_first() -> None:
    """The order in which containers start does not matter to the owners of what they share."""
    place = f"touch {SHARED}/req/x {SHARED}/live/x; find {SHARED} -name x"
    with volume() as req, volume() as live:
        mounts = [f"--volume={req}:{SHARED}/req", f"--volume={live}:{SHARED}/live"]
        done = once(NGINX, "-c", place, options=[*mounts, "--entrypoint=sh"])
        assert done.stdout.split() == [f"{SHARED}/live/x"]
        done = once(CONTROLLER, "-c", place, options=[*mounts, "--entrypoint=sh"])
        assert sorted(done.stdout.split()) == [f"{SHARED}/live/x", f"{SHARED}/req/x"]


def test_nginx_starts_with_nothing_and_answers_for_itself() -> None:
    """Without backends it is healthy, serves its generation, and refuses as the API does."""
    with contained(NGINX, ports=[8080, 8081], tmpfs=OF_NGINX) as running:
        running.await_healthy()
        status, generation = running.get(8081, "/lb/generation")
        assert status == 200
        assert re.fullmatch(r"[0-9a-f]{16}\n", generation)
        status, body = running.get(8080, "/v1/models")
        assert status == 502
        assert json.loads(body)["error"]["code"] == "bad_gateway"
        assert running.get(8080, "/healthz")[0] == 200
        # Neither the watcher nor a hook met anything that it may not do.
        assert not re.search("denied|cannot|read-only|emerg", running.logs(), re.IGNORECASE)
        assert "watcher: serves" in running.logs()


def test_nginx_keeps_a_log_on_a_volume_and_its_errors_in_the_log_of_the_container() -> None:
    """A directory for the access log takes requests; errors stay where `docker logs` shows them."""
    logs = "/var/log/vllm-nginx-lb"
    env = {"LB_LOG_DIR": logs}
    with (
        volume() as name,
        contained(
            NGINX, ports=[8080], env=env, tmpfs=OF_NGINX, mounts=[(name, logs, "rw")]
        ) as running,
    ):
        running.await_healthy()
        running.get(8080, "/v1/models")
        # Nginx writes the line after the answer.
        log = f"{logs}/access.log"
        await_true(lambda: running.said("cat", log) != "", WAIT_S, "the request is logged")
        kept = running.said("cat", log).splitlines()
        assert [json.loads(line)["uri"] for line in kept] == ["/v1/models"]
        assert "start worker process" in running.logs()


def test_the_simulator_serves_a_model() -> None:
    """Its default command is a server of the OpenAI protocol on port 8000 that gets healthy."""
    with contained(SIMULATOR, ports=[8000]) as running:
        running.await_healthy()
        status, body = running.get(8000, "/v1/models")
    assert status == 200
    assert [each["id"] for each in json.loads(body)["data"]] == ["simulated"]


def test_the_simulator_has_the_load_and_the_inbox() -> None:
    """All that docker-compose.yml starts from the image can be imported in it."""
    done = once(SIMULATOR, "python", "-c", "import lab.stack.load, lab.stack.inbox")
    assert (done.returncode, done.stderr) == (0, "")


def test_mtail_counts_what_nginx_logged(short_dir: Path) -> None:
    """A request in the access log becomes a metric of its pool."""
    short_dir.chmod(0o755)
    log = short_dir / "access.log"
    log.write_text("")
    log.chmod(0o644)
    mount = (str(short_dir), "/var/log/nginx", "ro")
    metric = 'nginx_lb_requests_total{code="200",pool="llm"} 1'
    with contained(MTAIL, ports=[3903], mounts=[mount]) as running:
        running.await_healthy()
        with log.open("a") as file:
            file.write(LINE)
        await_true(lambda: metric in running.get(3903, "/metrics")[1], WAIT_S, metric, poll_s=0.2)


def test_a_controller_whose_prometheus_is_gone_is_healthy_all_the_same() -> None:
    """Health means that ticks run: a restart would not bring Prometheus back."""
    env = {"LB_PROMETHEUS_URL": "http://127.0.0.1:9", "LB_BACKENDS": "10.0.0.1:8000"}
    with contained(CONTROLLER, env=env, tmpfs=OF_CONTROLLER) as running:
        running.await_healthy()


@pytest.mark.parametrize("image", [CONTROLLER, SIMULATOR, NGINX, MTAIL])
def test_a_health_check_fails_where_nothing_answers(image: str) -> None:
    """Without its server the check ends with an error rather than with a pass."""
    check = inspected(image)["Config"]["Healthcheck"]["Test"][1:]
    done = once(image, *check[1:], options=[f"--entrypoint={check[0]}"])
    assert done.returncode == 1


def test_a_command_that_does_not_end_leaves_no_container() -> None:
    """When its time is over the container goes, not only the client that waits for it."""
    name = f"--label=lb-test={uuid.uuid4().hex}"
    with pytest.raises(subprocess.TimeoutExpired):
        once(MTAIL, "60", options=["--entrypoint=sleep", name], timeout_s=15)
    label = name.removeprefix("--")
    assert succeed("docker", "ps", "--all", "--quiet", "--filter", label) == ""


def test_what_a_run_leaves_is_found_by_its_label_and_removed() -> None:
    """Container, volume and network of a project go, and those of another stay."""
    ours, other = (f"lb-test-{uuid.uuid4().hex[:8]}" for _ in range(2))
    label = "com.docker.compose.project="
    try:
        for name in (ours, other):
            succeed("docker", "volume", "create", f"--label={label}{name}", name)
            succeed("docker", "network", "create", f"--label={label}{name}", name)
        options = [f"--label={label}{ours}", f"--name={ours}", f"--network={ours}"]
        mount = f"--volume={ours}:/kept"
        succeed("docker", "run", "--detach", *options, mount, "--entrypoint=sleep", MTAIL, "60")
        assert removed([f"{label}{ours}"]) == [f"{k} {ours}" for k in KINDS]
        assert removed([f"{label}{ours}"]) == []
    finally:
        removed([f"{label}{ours}"])
        assert removed([f"{label}{other}"]) == [f"{k} {other}" for k in KINDS[1:]]


@pytest.mark.parametrize("image", ALL)
def test_builds_leave_the_stages_of_the_last_one_only(image: str) -> None:
    """No image of before is kept, and one first stage, with which the next build begins."""
    name = image.partition("/")[2].partition(":")[0]
    assert untagged(f"vllm-nginx-lb.image={name}") == []
    assert len(untagged(f"vllm-nginx-lb.stage={name}")) <= 1


def untagged(label: str) -> list[str]:
    """Images without a name that have a label, and that no container of somebody else needs."""
    filters = ["--filter", "dangling=true", "--filter", f"label={label}"]
    found = succeed("docker", "image", "ls", "--quiet", *filters).split()
    used = ["docker", "ps", "--all", "--quiet", "--filter"]
    return [each for each in found if not succeed(*used, f"ancestor={each}")]


def test_two_builds_give_the_same_files() -> None:
    """Built without a cache, the controller has the same files, with the same times too."""
    options = ["--entrypoint=bash"]
    older = inspected(CONTROLLER)["Id"]
    first = once(CONTROLLER, "-c", TREE, options=options)
    succeed(BUILD, "controller", "--no-cache")
    second = once(CONTROLLER, "-c", TREE, options=options)
    # Nobody else's container may need it.
    subprocess.run(["docker", "image", "rm", older], check=False, capture_output=True)
    assert first.returncode == second.returncode == 0
    assert len(first.stdout.splitlines()) > 1000
    assert second.stdout == first.stdout
