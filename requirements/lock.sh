#!/usr/bin/env bash
# Renews all locks from pyproject.toml: `make lock`, or `make lock ARGS=--upgrade`.
# Without --upgrade a version is kept as long as pyproject.toml allows it.
set -euo pipefail
cd "$(dirname "$0")/.."

# Prints the pins of what the arguments select; $1 is the lock, whose versions are kept.
compile() {
    local lock=$1
    shift
    .venv/bin/uv pip compile --python-version 3.10 --generate-hashes \
        --no-header --no-annotate --quiet "$@" -o "$lock"
    echo "$lock: $(grep -c '==' "$lock") pins"
}

for line in 116 121; do
    lock=requirements/tfx$line.txt
    compile "$lock" --universal pyproject.toml --extra "tfx$line" --group dev "$@"
    # CUDA's wheels are the same for every Python; of the rest, each is in the line's lock.
    gpu=requirements/gpu$line.txt
    compile "$gpu" --group "gpu$line" --constraints "$lock" "$@"
    awk '/^[a-z]/ { wanted = /^nvidia-/ } wanted' "$gpu" >"$gpu.part"
    mv "$gpu.part" "$gpu"
done
compile requirements/build.txt --universal --group build "$@"
