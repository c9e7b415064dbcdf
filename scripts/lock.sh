#!/bin/sh
# Writes requirements.lock, requirements-dev.lock and the locks of deploy/images, all from
# pyproject.toml; arguments go to uv.
# Pins stay as they are unless pyproject.toml forbids them or --upgrade is given.
set -eu

# uv is no dependency of the project: it comes for this run and goes again.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

python=$("$(dirname "$0")/find-python.sh")
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check uv

compile() {
    "$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 \
        --generate-hashes --no-header "$@"
}

# The lock of an image: one group, in the versions that the tests ran with.
compile_image() {
    group=$1
    lock=deploy/images/$2
    shift 2
    echo "lock: $lock"
    compile --group "pyproject.toml:$group" -c requirements-dev.lock "$@" -o "$lock"
}

echo "lock: requirements.lock"
compile pyproject.toml "$@" -o requirements.lock
echo "lock: requirements-dev.lock"
compile pyproject.toml --group dev -c requirements.lock "$@" -o requirements-dev.lock
compile_image build build.lock "$@"
compile_image stack simulator.lock "$@"
