"""What the scripts around Docker do, and above all what they leave alone.

`docker` is a stand-in here that notes how it was called; tests/stack runs them on a real engine.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ENGINE = ROOT / "scripts" / "docker-engine.sh"
STAND_INS = ROOT / "scripts" / "stand-in-images.sh"
PROMETHEUS = "prom/prometheus:v3.14.0"
ALERTMANAGER = "prom/alertmanager:v0.34.0"
MARK = "# Stands here for docker-engine.sh of vllm-nginx-lb."

DOCKER = """#!/bin/sh
echo "$*" >>"$NOTES"
case "$1 $2" in
"info ") exit {info} ;;
"compose version") [ {compose} = yes ] || exec "$DOCKER_CONFIG/cli-plugins/docker-compose" "$@" ;;
"image inspect")
    case $5 in
    {absent}) exit 1 ;;
    {ours}) echo "$5" ;;
    {real}) echo ;;
    *) exit 1 ;;
    esac
    ;;
esac
"""
# What a test must not run in earnest; it notes that it was called, and fails.
NEVER = """#!/bin/sh
echo "${0##*/} $*" >>"$NOTES"
exit 1
"""


class Machine:
    """A machine whose `docker` answers as it is told."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._notes = directory / "notes"
        self.config = directory / "config"
        self.engine = directory / "engine"
        for name in ("apt-get", "dockerd", "mmdebstrap"):
            self.has(name, NEVER)

    def has(self, name: str, text: str) -> None:
        """Put a program on the PATH."""
        program = self._directory / name
        program.write_text(text)
        program.chmod(0o755)

    def has_docker(
        self,
        *,
        answers: bool,
        compose: bool = True,
        real: str = "none",
        ours: str = "none",
        absent: str = "none",
    ) -> None:
        """Put a docker on the PATH.

        Args:
            answers: Whether its engine does.
            compose: Whether it has `compose` without a plug-in.
            real: A pattern of the images that are there.
            ours: One of the stand-ins.
            absent: One of those that are not there, whatever the others say.
        """
        kinds = {"real": real, "ours": ours, "absent": absent}
        has = "yes" if compose else "no"
        self.has("docker", DOCKER.format(info=0 if answers else 1, compose=has, **kinds))

    def run(self, script: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script there."""
        ours = ("LB_", "DOCKER_", "DEBIAN_", "CI")
        clean = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        clean |= {
            "PATH": f"{self._directory}:/usr/bin:/bin",
            "NOTES": str(self._notes),
            "DOCKER_CONFIG": str(self.config),
            "LB_ENGINE_DIR": str(self.engine),
        }
        return subprocess.run(
            [script, *argv], check=False, capture_output=True, text=True, env=clean | env
        )

    @property
    def calls(self) -> list[str]:
        """How docker was called."""
        return self._notes.read_text().splitlines() if self._notes.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with nothing."""
    return Machine(tmp_path)


def test_an_engine_that_answers_is_left_as_it_is(machine: Machine) -> None:
    """Where an engine and `docker compose` answer there is nothing to do."""
    machine.has_docker(answers=True)
    done = machine.run(ENGINE)
    assert done.returncode == 0, done.stderr
    assert set(machine.calls) == {
        "info",
        "compose version",
        "compose version --short",
        "version --format {{.Server.Version}}",
    }


def test_no_engine_is_started_unasked(machine: Machine) -> None:
    """Without leave the script ends with 3 and says how to give it."""
    machine.has_docker(answers=False)
    done = machine.run(ENGINE)
    assert done.returncode == 3
    assert "LB_START_ENGINE=yes" in done.stderr
    assert machine.calls == ["info"]


def test_an_engine_is_not_installed_by_a_test_whatever_is_exported(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the caller of these tests exported to have an engine does not reach the scripts."""
    for name, text in (("LB_START_ENGINE", "yes"), ("LB_STAND_IN", "yes"), ("CI", "true")):
        monkeypatch.setenv(name, text)
    machine.has_docker(answers=False)
    assert machine.run(ENGINE).returncode == 3
    assert machine.calls == ["info"]


COMPOSE = """#!/bin/sh
echo "compose 1.29.2 for $1"
"""


def test_compose_is_given_in_a_directory_of_its_own(machine: Machine) -> None:
    """The caller's is as before, and what is in it is there too; `stop` takes it back."""
    machine.has_docker(answers=True, compose=False)
    machine.has("docker-compose", COMPOSE)
    plugins = machine.config / "cli-plugins"
    plugins.mkdir(parents=True)
    (machine.config / "config.json").write_text('{"auths": {"registry.example": {}}}')
    (plugins / "docker-other").write_text("another plug-in")
    before = content(machine.config)
    done = machine.run(ENGINE, LB_START_ENGINE="yes")
    assert done.returncode == 0, done.stderr
    given = Path(machine.run(ENGINE, "config").stdout.strip())
    assert given == machine.engine / "docker-config"
    assert (given / "config.json").read_text() == before["config.json"]
    assert (given / "cli-plugins/docker-other").read_text() == "another plug-in"
    plugin = given / "cli-plugins/docker-compose"
    done = subprocess.run([plugin, "compose", "up"], check=True, capture_output=True, text=True)
    assert done.stdout == "compose 1.29.2 for up\n"
    assert machine.run(ENGINE, "stop").returncode == 0
    assert not given.exists()
    assert content(machine.config) == before
    assert machine.run(ENGINE, "config").stdout == f"{machine.config}\n"


def content(directory: Path) -> dict[str, str]:
    """The files under a directory."""
    files = [path for path in directory.rglob("*") if not path.is_dir()]
    return {str(path.relative_to(directory)): path.read_text() for path in files}


def test_compose_is_not_given_unasked(machine: Machine) -> None:
    """Where an engine answers and `docker compose` is missing, nothing is written without leave."""
    machine.has_docker(answers=True, compose=False)
    machine.has("docker-compose", COMPOSE)
    done = machine.run(ENGINE)
    assert done.returncode == 3
    assert "docker has no `compose`; set LB_START_ENGINE=yes" in done.stderr
    assert not machine.config.exists()
    assert not machine.engine.exists()


@pytest.mark.parametrize("is_link", [False, True])
def test_a_plug_in_of_somebody_else_is_never_overwritten(
    machine: Machine, tmp_path: Path, *, is_link: bool
) -> None:
    """What stands in the place of ours without our mark, or is a link to elsewhere, stays."""
    machine.has_docker(answers=True, compose=False)
    machine.has("docker-compose", COMPOSE)
    plugin = machine.engine / "docker-config/cli-plugins/docker-compose"
    plugin.parent.mkdir(parents=True)
    text = f"#!/bin/sh\n{MARK if is_link else '# of mine'}\nexit 1\n"
    theirs = tmp_path / "theirs" if is_link else plugin
    theirs.write_text(text)
    if is_link:
        plugin.symlink_to(theirs)
    done = machine.run(ENGINE, LB_START_ENGINE="yes")
    assert done.returncode == 1
    assert f"{plugin} is not of this script" in done.stderr
    assert machine.run(ENGINE, "stop").returncode == 0
    assert theirs.read_text() == plugin.read_text() == text


def test_an_engine_that_somebody_else_started_is_not_ended(machine: Machine) -> None:
    """`stop` ends what the script itself started, and nothing when that was nothing."""
    machine.has_docker(answers=True)
    assert machine.run(ENGINE).returncode == 0
    done = machine.run(ENGINE, "stop")
    assert (done.returncode, done.stdout) == (0, "docker engine: none of ours runs\n")


def test_the_engine_that_it_started_is_ended(machine: Machine, tmp_path: Path) -> None:
    """`stop` ends the dockerd of its file, which has no newline, as dockerd writes it."""
    (tmp_path / "engine").mkdir()
    program = shutil.copy("/bin/sleep", tmp_path / "dockerd")
    with subprocess.Popen([program, "60"]) as engine:
        (tmp_path / "engine" / "dockerd.pid").write_text(str(engine.pid))
        done = machine.run(ENGINE, "stop")
        ended = engine.poll()
        engine.kill()
    assert (done.returncode, done.stdout) == (0, "docker engine: ended\n")
    assert ended == -signal.SIGTERM


def test_a_process_that_took_over_the_number_is_not_ended(machine: Machine, tmp_path: Path) -> None:
    """A process id left over from before a reboot may be anybody's."""
    (tmp_path / "engine").mkdir()
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (tmp_path / "engine" / "dockerd.pid").write_text(f"{bystander.pid}\n")
        done = machine.run(ENGINE, "stop")
        alive = bystander.poll() is None
        bystander.kill()
    assert done.returncode == 0
    assert alive


def test_a_word_that_the_scripts_do_not_know_is_refused(machine: Machine) -> None:
    """A slip of the pen starts nothing."""
    machine.has_docker(answers=True)
    for script in (ENGINE, STAND_INS):
        done = machine.run(script, "sotp")
        assert done.returncode == 1
        assert "sotp: expected" in done.stderr


def test_a_real_image_is_never_replaced(machine: Machine) -> None:
    """A stand-in is made only for a name that no image has."""
    machine.has_docker(answers=True, real="*", absent=ALERTMANAGER)
    done = machine.run(STAND_INS)
    assert done.returncode == 0, done.stderr
    assert f"{PROMETHEUS} is there: real" in done.stdout
    made = [call.split() for call in machine.calls if call.startswith(("build", "import", "tag"))]
    assert [call[call.index("--tag") + 1] for call in made] == [ALERTMANAGER]


def test_where_no_image_is_missing_no_stand_in_is_made(machine: Machine) -> None:
    """Real images all of them leave nothing to do."""
    machine.has_docker(answers=True, real="*")
    done = machine.run(STAND_INS)
    assert (done.returncode, done.stdout) == (0, "stand-in images: nothing to do\n")
    assert {call.split()[0] for call in machine.calls} == {"info", "image"}


def test_only_stand_ins_are_removed(machine: Machine) -> None:
    """`--remove` takes away what bears the label, and no image of the same name that does not."""
    machine.has_docker(answers=True, ours=PROMETHEUS, real="*")
    done = machine.run(STAND_INS, "--remove")
    assert done.returncode == 0
    removed = [call for call in machine.calls if call.startswith("image rm")]
    assert removed == [f"image rm --force {PROMETHEUS}"]
