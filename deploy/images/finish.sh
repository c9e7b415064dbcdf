#!/bin/sh
# The last step on an environment that goes into an image: finish.sh DIRECTORY.
#
# Bytecode is compiled here, since a container that may not write would compile all it imports at
# each start. It is bound to the sources by nothing (unchecked-hash): neither changes in an image,
# and bytecode that holds the time of its source would differ from build to build. For the same
# reason every file gets the time SOURCE_DATE_EPOCH.
set -eu

directory=$1
python=$directory/bin/python

# What only people at a prompt use, and tests that some packages ship.
rm -f "$directory"/bin/[Aa]ctivate*
find "$directory" -depth -type d \( -name __pycache__ -o -name tests \) -exec rm -rf {} +

"$python" -m compileall -q -j 1 --invalidation-mode unchecked-hash "$directory/lib"
find "$directory" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
