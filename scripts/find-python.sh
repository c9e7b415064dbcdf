#!/bin/sh
# Prints the Python to make the virtual environment with, or exits 1 when there is none.
# With PYTHON set, that one or none.
set -eu

# A shim of a version manager exists for versions that are not installed, and Debian's Python comes
# without ensurepip until python3-venv is there. So each candidate has to show what it can do.
fits() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
    if fits "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done
exit 1
