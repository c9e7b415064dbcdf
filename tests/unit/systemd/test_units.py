"""The services, their user and their directories: sound for systemd, narrow, and as documented."""

import configparser
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from controller.app.cli import Exit
from controller.app.config import SharedVolumeNginxConfig
from controller.app.load import load

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy" / "systemd"
PAGE = (ROOT / "docs" / "install.md").read_text()
CONTROLLER = DEPLOY / "vllm-nginx-lb.service"
WATCHER = DEPLOY / "vllm-nginx-lb-watcher.service"
UNITS = (CONTROLLER, WATCHER)
# The exposure that `systemd-analyze security` may find, in tenths; the page names the same.
EXPOSURE = {CONTROLLER: 12, WATCHER: 28}
PROGRAMS = ("opt/vllm-nginx-lb/bin/vllm-nginx-lb", "usr/local/lib/vllm-nginx-lb/watcher.sh")
DISTRIBUTION = Path("/usr/lib/systemd/system")

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners of files need root")


class _Unit(configparser.RawConfigParser):
    """A unit file: names of settings keep their case."""

    def optionxform(self, optionstr: str) -> str:
        """The name of a setting, as it is."""
        return optionstr


def service(path: Path) -> dict[str, str]:
    """The section of the service; of a setting that is repeated the last value."""
    unit = _Unit(strict=False)
    unit.read(path)
    return dict(unit["Service"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine as far as systemd's tools look at one."""
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for path in UNITS:
        shutil.copy(path, units)
    shutil.copytree(DISTRIBUTION, tmp_path / "usr/lib/systemd/system", symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    for program in PROGRAMS:
        place = tmp_path / program
        place.parent.mkdir(parents=True)
        place.write_text("#!/bin/sh\n")
        place.chmod(0o755)
    return tmp_path


def verify(root: Path, path: Path) -> tuple[int, str]:
    """What systemd has against a unit, where its program is in place."""
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", path.name],
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_has_nothing_against_it(root: Path, path: Path) -> None:
    """`systemd-analyze verify` is silent."""
    assert verify(root, path) == (0, "")


@needs_systemd
def test_a_misspelt_setting_would_be_found(root: Path) -> None:
    """The check above can fail: a setting that systemd does not know is named."""
    unit = root / "etc/systemd/system" / CONTROLLER.name
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHouse="))
    assert "Unknown key 'ProtectHouse'" in verify(root, CONTROLLER)[1]


@needs_systemd
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_exposure_stays_small(path: Path) -> None:
    """Its rating is not above the one that the page names, and the page names a true one."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE[path]}", path],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert f" {EXPOSURE[path] / 10:g}" in re.findall(r"^`systemd-analyze.*$", PAGE, re.MULTILINE)[0]


def test_controller_becomes_nobody_else() -> None:
    """The controller has no capability, no way to one, and writes its two directories only."""
    settings = service(CONTROLLER)
    assert settings["User"] == settings["Group"] == "vllm-nginx-lb"
    assert settings["CapabilityBoundingSet"] == settings["AmbientCapabilities"] == ""
    assert (settings["NoNewPrivileges"], settings["ProtectSystem"]) == ("yes", "strict")
    config = load(ROOT / "deploy" / "examples" / "plain-host.yaml")
    assert isinstance(config.nginx, SharedVolumeNginxConfig)
    assert settings["ReadWritePaths"] == f"{config.nginx.directory}/req"
    assert config.state.file is not None
    assert f"/var/lib/{settings['StateDirectory']}" == str(config.state.file.parent)


def test_watcher_is_root_only_as_far_as_nginx_needs_it() -> None:
    """The watcher keeps three capabilities, none of which lets it become somebody or load code."""
    settings = service(WATCHER)
    assert set(settings["CapabilityBoundingSet"].split()) == {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_NET_BIND_SERVICE",
    }
    assert settings["NoNewPrivileges"] == "yes"


def test_every_setting_has_its_reason() -> None:
    """The page's table names every setting of both services that restricts or limits something."""
    table = PAGE.partition("## What each setting")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Za-z]+)=?", table))
    plain = {"ExecStart", "EnvironmentFile", "Group", "RestartSec", "SystemCallErrorNumber"}
    implied = {"UMask", "StateDirectoryMode", "AmbientCapabilities", "SystemCallArchitectures"}
    used = {name for path in UNITS for name in service(path)} - plain - implied
    kernel = {name for name in used if name.startswith("Protect")}  # `Protect...` of the table
    assert used - kernel <= named
    assert named & {"ProtectSystem", "ProtectHome", "ProtectProc"} == {
        "ProtectSystem",
        "ProtectHome",
        "ProtectProc",
    }


@needs_systemd
@needs_root
def test_user_and_directories(root: Path) -> None:
    """Only root writes what Nginx includes; the controller's directories are the controller's."""
    for name, place in (("sysusers", "sysusers.d"), ("tmpfiles", "tmpfiles.d")):
        directory = root / "etc" / place
        directory.mkdir()
        shutil.copy(DEPLOY / f"{name}.conf", directory / "vllm-nginx-lb.conf")
    (root / "var/lib").mkdir(parents=True)
    subprocess.run(["systemd-sysusers", f"--root={root}"], check=True, capture_output=True)
    subprocess.run(
        ["systemd-tmpfiles", f"--root={root}", "--create", "--prefix=/var/lib", "--prefix=/etc"],
        check=True,
        capture_output=True,
    )
    (line,) = re.findall(r"^vllm-nginx-lb:.*$", (root / "etc/passwd").read_text(), re.MULTILINE)
    _, _, uid, _, _, home, shell = line.split(":")
    assert (home, shell) == ("/var/lib/vllm-nginx-lb", "/usr/sbin/nologin")
    found = {
        path.name: (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode))
        for path in (root / "var/lib/vllm-nginx-lb").iterdir()
    }
    assert found == {
        "req": (int(uid), 0o755),
        "state": (int(uid), 0o700),
        "ack": (0, 0o755),
        "live": (0, 0o755),
    }


def test_nothing_is_installed_that_no_lock_names() -> None:
    """Each `pip install` asks for hashes, or builds with what is there and fetches nothing."""
    commands = re.findall(r"^\S*pip install (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        words = command.split()
        if words[0] == "--require-hashes":
            locks = words[2::2]
            assert words[1::2] == ["-r"] * len(locks)
            # Else the build would use whatever Python came with.
            assert locks == ["requirements.lock", "deploy/images/build.lock"]
        else:
            assert {"--no-deps", "--no-build-isolation"} < set(words)
            assert words[-1] == "."
    for lock in ("requirements.lock", "deploy/images/build.lock"):
        text = re.sub(r"\s*\\\n\s*", " ", (ROOT / lock).read_text())
        pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        assert pins
        assert all(re.match(r"\S+==\S+.* --hash=sha256:", pin) for pin in pins)


def test_what_others_must_read_is_made_readable() -> None:
    """Blocks that write what a service reads, with no mode given, begin with their `umask`."""
    found = 0
    for page in ("install.md", "from-the-script.md"):
        text = (ROOT / "docs" / page).read_text()
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if re.search(r"pip install|-m venv|> ?/etc/vllm-nginx-lb", block):
                assert block.startswith("umask 022\n"), block
                found += 1
    assert found == 3


def test_only_a_fault_of_the_configuration_ends_it_for_good() -> None:
    """Whatever else the controller ends with, the service is started again."""
    assert service(CONTROLLER)["RestartPreventExitStatus"] == str(Exit.CONFIG.value)
    assert service(CONTROLLER)["Restart"] == "always"


def test_commands_of_the_pages_are_whole() -> None:
    """Every block of commands is valid for sh, and every file of the checkout it names exists."""
    for page in ("install.md", "from-the-script.md"):
        text = (ROOT / "docs" / page).read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert len(blocks) > 5
        for block in blocks:
            subprocess.run(["sh", "-n"], input=block, text=True, check=True)
            for name in re.findall(r"(?<!\S)(deploy/[^\s*]+)", block):
                assert (ROOT / name).exists(), name
