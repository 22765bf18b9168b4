#!/usr/bin/env bash
# Creates .venv from the lock of the TFX line that this machine can run: `make setup`.
#
# --check installs nothing: it reports what would be installed, or what is missing.
# PYTHON=/path/to/python and TFX_LINE=116 (or 121) override the automatic choice. GPU=1
# adds CUDA's libraries.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly NEEDED_GB=4
readonly STAMP=.venv/.two-tower-setup

die() {
    echo "setup: $1" >&2
    exit 1
}

# Prints the newest TFX line whose native wheels load here. It cannot be left to pip: no
# environment marker of a requirement knows the version of the C library.
find_line() {
    local glibc
    [[ "$(uname -sm)" == "Linux x86_64" ]] ||
        die "TFX has wheels for Linux on x86_64 only, this is $(uname -sm). Use such a machine or container."
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) ||
        die "no glibc here, which TFX's wheels need. Use Debian, Ubuntu or another glibc distribution."
    glibc=${glibc#glibc }
    case "${TFX_LINE:-}" in
        116 | 121) echo "$TFX_LINE" ;;
        "") if printf '2.39\n%s\n' "$glibc" | sort -CV; then echo 121; else echo 116; fi ;;
        *) die "TFX_LINE is '$TFX_LINE'. Allowed are 116 and 121; leave it unset to let glibc decide." ;;
    esac
}

# Prints all possible paths of a Python $1 (such as 3.10), one per line.
candidate_paths() {
    local root
    type -aP "python$1" python3 python || true
    for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv" $(tr ':' '\n' <<<"$PATH" | sed -n 's|/shims/*$||p'); do
        compgen -G "$root/versions/$1.*/bin/python$1" || true
    done
}

# Prints the interpreter behind a virtual environment's, a pyenv shim or a link.
base_python() { "$1" -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null; }

# Prints the interpreter behind $1 if it is a Python $2 (a pyenv shim may be another one),
# and what it lacks to build a virtual environment: nothing, "venv" or "headers".
inspect_python() {
    timeout 20 "$1" - "$2" 2>/dev/null <<'PYTHON'
import importlib.util, os, sys, sysconfig
if "%d.%d" % sys.version_info[:2] != sys.argv[1]:
    sys.exit(1)
lacks = ""
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    lacks = "headers"
if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
    lacks = "venv"
print(os.path.realpath(sys.executable), lacks)
PYTHON
}

# Prints the first complete interpreter for line $1; the most tested version comes first.
find_python() {
    local versions version path found lacks incomplete=""
    case "$1" in
        116) versions="3.10 3.11" ;;
        121) versions="3.13 3.12 3.11 3.10" ;;
    esac
    for version in $versions; do
        while read -r path; do
            read -r found lacks < <(inspect_python "$path" "$version") || continue
            [[ -n "$lacks" ]] || { echo "$found" && return; }
            incomplete=${incomplete:-"$found lacks $lacks. Install it: apt-get install python$version-venv python$version-dev"}
        done < <(if [[ -n "${PYTHON:-}" ]]; then echo "$PYTHON"; else candidate_paths "$version"; fi)
    done
    [[ -z "$incomplete" ]] || die "$incomplete"
    [[ -z "${PYTHON:-}" ]] || die "PYTHON is '$PYTHON', which is not a working Python ${versions// / or }. Unset it or name another."
    die "no Python ${versions// / or } found, which TFX ${1/1/1.} needs. Install one (apt-get, or: pyenv install ${versions%% *}) or set PYTHON=/path/to/python."
}

# pyfarmhash, a dependency of tfx-bsl, has no wheel.
check_compiler() {
    command -v "${CXX:-g++}" >/dev/null ||
        die "no C++ compiler (${CXX:-g++}) found, which pyfarmhash is built with. Install it: apt-get install g++"
}

check_disk() {
    local free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    ((free_kb >= NEEDED_GB * 1024 * 1024)) ||
        die "$((free_kb / 1024 / 1024)) GB free in $PWD, but TFX and TensorFlow need $NEEDED_GB GB. Free some, or clone onto another disk."
}

# Prints the locks of line $1.
locks() {
    echo "requirements/tfx$1.txt"
    if [[ "${GPU:-0}" == 1 ]]; then echo "requirements/gpu$1.txt"; fi
}

# Prints everything that .venv depends on. While the stamp in .venv is equal, it is current;
# if the first line differs, .venv must be created again.
fingerprint() {
    echo "TFX line $1 in $PWD"
    # shellcheck disable=SC2046 # one word a file
    sha256sum $(locks "$1") requirements/build.txt pyproject.toml setup.py requirements/setup.sh
}

# Without a stamp the installation was interrupted, and a package may be incomplete.
is_reusable() {
    local base
    [[ -f $STAMP && "$(head -n 1 $STAMP)" == "$(fingerprint "$1" | head -n 1)" ]] &&
        base=$(base_python .venv/bin/python) &&
        [[ -z "${PYTHON:-}" || "$base" == "$(base_python "$PYTHON")" ]]
}

is_current() {
    is_reusable "$1" && [[ "$(<$STAMP)" == "$(fingerprint "$1")" ]]
}

# Prints uv's pin with its hashes, for the pip of a new virtual environment.
uv_pin() { awk '/^[a-z]/ { wanted = /^uv==/ } wanted' "$1"; }

# Installs the lock of line $1 for interpreter $2.
install() {
    local lock=requirements/tfx$1.txt
    if ! is_reusable "$1"; then
        rm -rf .venv
        "$2" -m venv .venv
        .venv/bin/python -m pip install --quiet --require-hashes --only-binary=:all: \
            -r <(uv_pin "$lock")
    fi
    rm -f "$STAMP"
    [[ -w "${HOME:-/nonexistent}" ]] || export UV_NO_CACHE=1
    export VIRTUAL_ENV=$PWD/.venv
    # --compile-bytecode: it halves the time of TFX's first import. What is built from
    # source is built with hashed versions, too.
    # shellcheck disable=SC2046 # one word a file
    .venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode \
        --build-constraints requirements/build.txt --require-build-hashes $(locks "$1")
    .venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
}

main() {
    local line python started=$SECONDS
    exec 9<requirements/setup.sh && flock 9 # of two at the same time, the second waits
    line=$(find_line)
    if [[ "${1:-}" != --check ]] && is_current "$line"; then return; fi
    python=$(find_python "$line")
    check_compiler
    is_reusable "$line" || check_disk
    echo "TFX ${line/1/1.} line, $("$python" --version) at $python, $(getconf GNU_LIBC_VERSION)"
    if [[ "${1:-}" == --check ]]; then return; fi
    echo "Installing requirements/tfx$line.txt into .venv (3 GB; minutes at first)"
    trap 'echo "setup: the installation stopped. Fix what is reported above, then run make setup again." >&2' EXIT
    install "$line" "$python"
    trap - EXIT
    fingerprint "$line" >"$STAMP"
    echo "Installed in $((SECONDS - started)) s"
}

main "$@"
