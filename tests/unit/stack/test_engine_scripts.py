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

DOCKER = """#!/bin/sh
echo "$*" >>"$NOTES"
case "$1 $2" in
"info ") exit {info} ;;
"image inspect")
    case $5 in
    {ours}) echo "$5" ;;
    {real}) echo ;;
    *) exit 1 ;;
    esac
    ;;
esac
"""


class Machine:
    """A machine whose `docker` answers as it is told."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._notes = directory / "notes"

    def has_docker(self, *, answers: bool, real: str = "none", ours: str = "none") -> None:
        """Put a docker on the PATH: whether its engine answers, and which image is whose."""
        text = DOCKER.format(info=0 if answers else 1, real=real, ours=ours)
        program = self._directory / "docker"
        program.write_text(text)
        program.chmod(0o755)

    def run(self, script: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script there."""
        clean = {name: text for name, text in os.environ.items() if name != "CI"}
        clean |= {
            "PATH": f"{self._directory}:/usr/bin:/bin",
            "NOTES": str(self._notes),
            "DOCKER_CONFIG": str(self._directory / "config"),
            "LB_ENGINE_DIR": str(self._directory / "engine"),
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
    machine.has_docker(answers=True, real="*")
    done = machine.run(STAND_INS)
    assert (done.returncode, done.stdout) == (0, "stand-in images: nothing to do\n")
    assert not [call for call in machine.calls if call.startswith(("build", "import"))]


def test_only_stand_ins_are_removed(machine: Machine) -> None:
    """`--remove` takes away what bears the label, and no image of the same name that does not."""
    machine.has_docker(answers=True, ours=PROMETHEUS, real="*")
    done = machine.run(STAND_INS, "--remove")
    assert done.returncode == 0
    removed = [call for call in machine.calls if call.startswith("image rm")]
    assert removed == [f"image rm --force {PROMETHEUS}"]
