#!/bin/sh
# Unpacks Debian's mtail: mtail.sh DIRECTORY. For mtail.Dockerfile, whose arguments it reads.
set -eu

directory=$1
mkdir -p "$directory"

if ! ls /wheels/mtail_*.deb >/dev/null 2>&1; then
    if [ -n "${DEBIAN_MIRROR:-}" ]; then
        rm -rf /etc/apt/sources.list.d
        echo "deb $DEBIAN_MIRROR bookworm main" >/etc/apt/sources.list
    fi
    # With one source, and signed, whatever the mirror.
    apt-get -qq update
    cd "$directory"
    apt-get -qq -o APT::Sandbox::User=root download mtail
    mv mtail_*.deb /wheels/
fi

for package in /wheels/mtail_*.deb; do
    dpkg-deb --extract "$package" "$directory"
done
find "$directory" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
