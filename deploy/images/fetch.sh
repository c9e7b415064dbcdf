#!/bin/sh
# Fills deploy/images/wheels with all that the builds install, so that these need no network.
#
# It uses pip and apt of this machine, with the indexes, proxies and certificates that they are set
# up with, and so leaves none of that in an image or in a file of the project. The wheels are for
# Python 3.11 on this machine's kind of processor; mtail is Debian 12's, and is left out on other
# systems. Where the locks are still those of the last time, there is nothing to do.
set -eu

cd "$(dirname "$0")/../.."
folder=deploy/images/wheels
locks="requirements.lock deploy/images/build.lock deploy/images/simulator.lock"
# shellcheck disable=SC2086 # a list of words
sums=$(cat $locks | sha256sum)
if [ "$(cat $folder/.fetched 2>/dev/null)" = "$sums" ]; then
    echo "image packages: nothing to do"
    exit 0
fi
python=$(scripts/find-python.sh) || {
    echo "image packages: there is no Python >= 3.11 with venv here to fetch wheels with" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Debian's Python has no pip of its own, but brings one for environments.
if ! "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv "$work/venv"
    python=$work/venv/bin/python
fi
mkdir "$work/packages"

# A download that breaks off, or an index that fails now and then, costs another try.
download() {
    for pause in 5 20 fail; do
        "$python" -m pip download --quiet --no-input --disable-pip-version-check \
            --python-version 3.11 --only-binary=:all: --require-hashes -r "$1" \
            -d "$work/packages" && return 0
        [ $pause = fail ] || {
            echo "image packages: once more in $pause s"
            sleep $pause
        }
    done
    return 1
}

# Each lock by itself: it is whole, and pip would refuse a second line for the same package.
for lock in $locks; do
    echo "image packages: wheels of $lock"
    download "$lock"
done

if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release && command -v apt-get >/dev/null; then
    echo "image packages: mtail"
    (
        cd "$work/packages"
        apt-get -qq -o APT::Sandbox::User=root download mtail ||
            { apt-get -qq update && apt-get -qq -o APT::Sandbox::User=root download mtail; }
    )
else
    echo "image packages: this is no Debian 12, so the build of mtail asks a mirror"
fi

rm -f "$folder"/*.whl "$folder"/*.deb
mv "$work"/packages/* "$folder"
chmod 0644 "$folder"/*
echo "$sums" >$folder/.fetched
echo "image packages: $(find "$folder" -name '*.whl' -o -name '*.deb' | wc -l) in $folder"
