#!/bin/sh
# Builds the images: build.sh [NAME ...] [OPTION OF docker build ...], such as
#
#   deploy/images/build.sh                                            all four
#   deploy/images/build.sh controller --build-arg PIP_INDEX_URL=URL   one, from another index
#
# With packages in deploy/images/wheels it builds without a network, so from these alone.
#
# What an image of the same name was before, and its first stage, have no name afterwards and are
# removed; the first stage of this build stays, since the next one begins with it.
set -eu

cd "$(dirname "$0")/../.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
revision=$(git -c safe.directory='*' rev-parse HEAD 2>/dev/null) || revision=unknown

names=
while [ $# -gt 0 ]; do
    case $1 in
    -*) break ;;
    esac
    [ -f "deploy/images/$1.Dockerfile" ] || {
        echo "images: $1: expected controller, nginx, simulator or mtail" >&2
        exit 2
    }
    names="$names $1"
    shift
done

# tidy NAME: by labels of ours alone, so nobody else's image is touched.
tidy() {
    # The daemon prunes for one at a time; what stays now is removed by the next build.
    docker image prune --force --filter "label=vllm-nginx-lb.image=$1" >/dev/null \
        || echo "images: what $1 was before is not removed" >&2
    # The newest comes first.
    for id in $(docker image ls --quiet --no-trunc --filter dangling=true \
        --filter "label=vllm-nginx-lb.stage=$1" | tail -n +2); do
        # One that a build in another terminal stands on stays.
        docker image rm "$id" >/dev/null 2>&1 || :
    done
}

for name in ${names:-controller nginx simulator mtail}; do
    image=vllm-nginx-lb/$name:$version
    case $name in
    mtail) packages='mtail_*.deb' ;;
    *) packages='*.whl' ;;
    esac
    network=default
    # shellcheck disable=SC2086 # a pattern
    if [ "$name" = nginx ] || ls deploy/images/wheels/$packages >/dev/null 2>&1; then
        network=none
    fi
    echo "images: $image"
    docker build --quiet --network "$network" --file "deploy/images/$name.Dockerfile" \
        --tag "$image" --build-arg "REVISION=$revision" "$@" .
    tidy "$name"
done
