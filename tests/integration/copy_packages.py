"""Copies the packages of requirements.lock, and the controller, into another virtual environment.

`copy_packages.py VENV` stands for the two `pip install` of docs/install.md where no index can be
reached. It runs in the environment that has them all.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Copy, then build and install the controller itself without dependencies."""
    (target,) = Path(sys.argv[1]).glob("lib/python*/site-packages")
    lock = (ROOT / "requirements.lock").read_text()
    for name in re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE):
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:  # of another platform
            continue
        for file in files:
            source = Path(str(file.locate()))
            # Commands lie outside; nobody there calls those of dependencies.
            if ".." not in file.parts and source.is_file():
                place = target / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, place)
    build = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation"]
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([*build, "--wheel-dir", name, ROOT], check=True)
        (wheel,) = Path(name).glob("*.whl")
        pip = [f"{sys.argv[1]}/bin/pip", "--quiet", "install", "--no-deps", "--no-index"]
        subprocess.run([*pip, wheel], check=True)


if __name__ == "__main__":
    main()
