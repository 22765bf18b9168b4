#!/usr/bin/env bash
# Runs the tests on Debian 13 (glibc 2.41, hence TFX 1.21 and Python 3.13) from a machine
# with an older Debian: `make test-trixie`, or `make test-trixie ARGS="tests/trainer -x"`.
#
# It needs root, for chroot; elsewhere it is skipped with a reason and exit code 0.
# The Debian 13 root is made once (about 4 GB) and used again:
#   TRIXIE_ROOT    its folder; the default is ~/.cache/two-tower/trixie
#   TRIXIE_MIRROR  the Debian mirror; the default is the one in this machine's apt sources
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ROOT=${TRIXIE_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/two-tower/trixie}
readonly SOURCE=/src/two-tower # the checkout's path inside the root
readonly PACKAGES=(make g++ python3-dev python3-venv git)

skip() {
    echo "test-trixie: skipped: $1"
    exit 0
}

check_machine() {
    [[ "$(id -u)" == 0 ]] || skip "chroot needs root, and this is $(id -un). Run it with sudo."
    command -v apt-get >/dev/null || skip "no apt-get found, so this is not Debian or Ubuntu."
    command -v debootstrap >/dev/null ||
        { apt-get update -qq && apt-get install -qq -y debootstrap >/dev/null; } ||
        skip "debootstrap is not installed, and apt-get cannot install it."
    unshare --mount true 2>/dev/null || skip "this machine does not allow mounts (unshare --mount failed)."
}

# Prints the first Debian archive of this machine's apt sources.
find_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | head -n 1
}

# Makes the root beside its final place: an interrupted one is never taken for complete.
make_root() {
    local mirror
    mirror=${TRIXIE_MIRROR:-$(find_mirror)}
    [[ -n "$mirror" ]] || skip "no Debian mirror in this machine's apt sources. Set TRIXIE_MIRROR."
    echo "test-trixie: making a Debian 13 root in $ROOT"
    rm -rf --one-file-system "$ROOT.part"
    debootstrap --variant=minbase --include="make,ca-certificates" trixie "$ROOT.part" "$mirror" >"$ROOT.log" ||
        { tail -n 20 "$ROOT.log" >&2; exit 1; }
    copy_settings "$ROOT.part"
    enter "$ROOT.part" apt-get update -qq
    enter "$ROOT.part" apt-get install -qq -y --no-install-recommends "${PACKAGES[@]}" >>"$ROOT.log"
    mv "$ROOT.part" "$ROOT"
}

# Copies what this machine needs to reach its network: names, certificates, pip and apt.
copy_settings() {
    local path
    for path in /etc/resolv.conf /etc/hosts /etc/ssl/certs /usr/local/share/ca-certificates \
        /etc/pip.conf /etc/apt/apt.conf /etc/apt/apt.conf.d /etc/apt/auth.conf /etc/apt/auth.conf.d \
        "${SSL_CERT_FILE:-}" "${PIP_CERT:-}" "${CURL_CA_BUNDLE:-}" "${REQUESTS_CA_BUNDLE:-}"; do
        [[ -n "$path" && -e "$path" ]] || continue
        mkdir -p "$1$(dirname "$path")"
        cp -RL --remove-destination --no-target-directory "$path" "$1$path"
    done
}

# Runs a command inside root $1. Only the variables of the network come along: the local
# wheels of PIP_FIND_LINKS were built for this machine's glibc. A job in the background
# ignores SIGINT, on which a test depends.
enter() {
    local root=$1 name mounted variables=()
    shift
    for mounted in proc sys dev; do
        mountpoint -q "$root/$mounted" || mount --rbind "/$mounted" "$root/$mounted"
    done
    for name in $(compgen -e | grep -E '^(PIP|SSL|CURL|REQUESTS)_|^(https?|no)_proxy$' | grep -v PIP_FIND_LINKS); do
        variables+=("$name=${!name}")
    done
    chroot "$root" /usr/bin/env -i --default-signal=INT "${variables[@]}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# Brings this checkout into the root, changes that are not committed included. Files that
# git does not know yet stay behind.
copy_checkout() {
    local commit
    commit=$(git stash create)
    git init --quiet "$ROOT$SOURCE"
    git push --quiet --force "$ROOT$SOURCE" "${commit:-HEAD}:refs/heads/tested"
    git -C "$ROOT$SOURCE" checkout --quiet --force --detach tested
    git -C "$ROOT$SOURCE" clean --quiet --force -d
}

main() {
    # The mounts belong to a namespace of this process: whatever ends it, nothing stays
    # mounted, and nobody who removes the root deletes through a mount.
    if [[ "${1:-}" != --in-namespace ]]; then
        check_machine
        exec unshare --mount --propagation private bash requirements/trixie.sh --in-namespace "$@"
    fi
    shift
    mkdir -p "$(dirname "$ROOT")"
    exec 9>"$ROOT.lock" && flock 9 # a second run waits for the first
    [[ -d "$ROOT" ]] || make_root
    copy_settings "$ROOT"
    copy_checkout
    enter "$ROOT" make -C "$SOURCE" test WORKERS="${WORKERS:-2}" ARGS="$(printf '%q ' "$@")"
}

main "$@"
