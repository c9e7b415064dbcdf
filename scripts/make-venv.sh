#!/bin/sh
# Makes or brings up to date the virtual environment named by the argument, from the lock.
set -eu

venv=$1
here=$(dirname "$0")

# The Python behind an old environment may be gone.
if "$venv/bin/python" -c '' >/dev/null 2>&1; then
    echo "virtual environment: bringing $venv up to date"
else
    python=$("$here/find-python.sh")
    echo "virtual environment: making $venv with $python"
    "$python" -m venv --clear "$venv"
fi

# A download that breaks off, or an index that fails now and then, costs another try.
pip() {
    for pause in 5 20 fail; do
        "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "$@" &&
            return 0
        [ $pause = fail ] || {
            echo "virtual environment: once more in $pause s"
            sleep $pause
        }
    done
    return 1
}

echo "virtual environment: installing what requirements-dev.lock pins (a minute or two)"
pip --require-hashes -r requirements-dev.lock
# The hashes above cover the build backend too, so nothing unpinned is fetched to build ourselves.
pip --no-deps --no-build-isolation -e .
echo "virtual environment: ready"
