#!/bin/sh
# Tests against Samba's Active Directory: its ports (389, 636, 3268, 3269) cannot be chosen, so all of
# it runs in a network namespace where nothing else is. Root. Usage: run.sh PYTHON [arguments]
set -eu

python=$1
shift

if unshare --net true 2>/dev/null; then
    echo "e2e-ad: in a network namespace of its own"
    exec unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$python" -m pytest -m e2e tests/active_directory "$@"
fi
echo "e2e-ad: no network namespace here; needs ports 389 and 636 of 127.0.0.1"
exec "$python" -m pytest -m e2e tests/active_directory "$@"
