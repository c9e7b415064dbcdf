#!/bin/sh
# Writes requirements.lock and requirements-dev.lock from pyproject.toml; arguments go to uv.
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
    "$work/venv/bin/uv" pip compile --quiet pyproject.toml --universal --python-version 3.11 \
        --generate-hashes --no-header "$@"
}

echo "lock: requirements.lock"
compile "$@" -o requirements.lock
echo "lock: requirements-dev.lock"
compile --group dev -c requirements.lock "$@" -o requirements-dev.lock
