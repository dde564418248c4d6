#!/bin/sh
# Installs the real parts of the end-to-end tests on Debian 12. Root; quiet and quick when all are
# there. Nothing it installs is started: the tests run each part in the foreground on loopback.
# With package names as arguments, those instead (make e2e-ad).
set -eu

packages="${*:-simplesamlphp php8.2-cli php8.2-xml php8.2-mbstring nginx-light apache2
libapache2-mod-auth-mellon libapache2-mod-shib chromium postgresql slapd
mariadb-server-core}"

# Prints the names of the packages that are not installed, one a line.
missing() {
    for package in $packages; do
        status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || :)
        [ "$status" = installed ] || printf '%s\n' "$package"
    done
}

fail() {
    printf 'e2e: %s\n' "$1" >&2
    exit 1
}

command -v dpkg-query >/dev/null 2>&1 ||
    fail "no dpkg here; install by other means: $(echo $packages)"

wanted=$(missing)
[ -n "$wanted" ] || exit 0

[ "$(id -u)" = 0 ] ||
    fail "missing: $(echo $wanted). Run as root: tests/e2e/install.sh"

# A policy that forbids starting services while packages are set up, removed again at the end.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
{
    apt-get -q update &&
        apt-get -q -y --no-install-recommends install $wanted
} >"$log" 2>&1 || :

still=$(missing)
if [ -n "$still" ]; then
    tail -n 40 "$log" >&2
    fail "could not install: $(echo $still). The whole log: $log"
fi
rm -f "$log"
