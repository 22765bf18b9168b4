#!/usr/bin/env bash
# Renews both locks from pyproject.toml: `make lock`, or `make lock ARGS=--upgrade`.
# Without --upgrade a version is kept as long as pyproject.toml allows it.
set -euo pipefail
cd "$(dirname "$0")/.."

for line in tfx116 tfx121; do
    .venv/bin/uv pip compile pyproject.toml --extra "$line" --group dev \
        --universal --python-version 3.10 --generate-hashes \
        --no-header --no-annotate --quiet "$@" -o "requirements/$line.txt"
    echo "requirements/$line.txt: $(grep -c '==' "requirements/$line.txt") pins"
done
