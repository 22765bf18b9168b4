"""Seconds of the data steps on each engine, beside this machine alone.

    make test-engines ARGS=--collect-only    # installs Spark, once
    python -m benchmarks.engines --work /tmp/engines --data-dir FOLDER local spark

Two machines are made of network namespaces, as in `tests/engines`, so that all engines
have the same cores: what is measured is what an engine costs, not what more machines
would gain. Results are merged into `results/engines.json` by name.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.engines.machines import (
    Machine,
    machines,
    shared_folder,
    submitter,
)
from tests.engines.pools import embedded_runner
from tests.engines.spark import SOFTWARE, spark_cluster
from trainer.atomic_files import write_text

RESULTS: Final = Path(__file__).parent / "results" / "engines.json"
STEPS: Final = ("MovieLensExampleGen", "StatisticsGen", "Transform")


def main() -> None:
    """Measures the engines that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    engines = ("local", "portable", "spark")
    parser.add_argument("engines", nargs="+", choices=engines)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--name", default="", help="results are kept apart by name")
    options = parser.parse_args()
    os.umask(0o002)  # workers are another user of the same group
    options.work.mkdir(parents=True)  # an error if it is there
    shared = shared_folder(options.work)
    shutil.copytree(options.data_dir, shared / "data")
    logs = options.work / "logs"
    with machines(("worker-1", "worker-2"), shared, [SOFTWARE], logs) as made:
        for engine in options.engines:
            with _settings(engine, made, shared, logs) as settings:
                start = submitter(options.work, made[0].visible)
                row = _measure(shared, engine, [*start], settings)
            key = f"{options.name or options.data_dir.name} {engine}"
            known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            write_text(RESULTS, json.dumps({**known, key: row}, indent=1) + "\n")
            print(json.dumps({key: row}), flush=True)


@contextlib.contextmanager
def _settings(
    engine: str, made: list[Machine], shared: Path, logs: Path
) -> Iterator[list[str]]:
    """Starts an engine; yields what `two-tower run` is given for it."""
    if engine == "local":
        yield []
    elif engine == "spark":
        with spark_cluster(made, logs) as cluster:
            yield cluster.settings(shared)
    else:
        with embedded_runner(made, shared) as settings:
            yield settings
    for machine in made:
        machine.kill()


def _measure(
    shared: Path, engine: str, start: list[str], settings: list[str]
) -> dict[str, Any]:
    workspace = shared / engine
    load = os.getloadavg()[0]
    command = [sys.executable, "-m", "pipeline", "run", "--until", STEPS[-1]]
    folders = ["--data-dir", str(shared / "data"), "--workspace", str(workspace)]
    subprocess.run([*start, *command, *folders, *settings], check=True)
    text = (workspace / "runs" / "latest" / "summary.json").read_text()
    seconds = {step["id"]: step["seconds"] for step in json.loads(text)["steps"]}
    row = {name: seconds[name] for name in STEPS}
    return {**row, "together": round(sum(row.values()), 1), "load_before": load}


if __name__ == "__main__":
    main()
