"""Seconds and memory of sorting ratings in memory and by Beam, by size.

    PYTHONPATH=. python benchmarks/ingest.py 1m 5m 25m --results results.jsonl

Each measurement is the part of MovieLensExampleGen before rows are encoded, which is
the same for both, in a process of its own: in memory, by Beam in one process, and by
Beam on one and on two worker processes. Imports are not counted; those of the worker
processes are. `load` is that of the machine when the measurement began: beside other
work only CPU seconds and memory count. `digest` is that of the staged rows.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.data_throughput import _synthesized

WAYS: Final = ("memory", "beam", "beam-1", "beam-2")
_RUNNER: Final = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def main() -> None:
    """Measures the sizes or folders that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", default=["1m"])
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--results", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measure(Path(options.child[0]), options.child[1])))
        return
    for size in options.sizes:
        given = Path(size)
        folder = given if given.is_dir() else _synthesized(options.scratch, size)
        for way in options.ways:
            command = [sys.executable, __file__, "--child", str(folder), way]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True
            )
            result = {"size": given.name, **json.loads(done.stdout.splitlines()[-1])}
            print(json.dumps(result), flush=True)
            if options.results:
                with options.results.open("a") as out:
                    out.write(json.dumps(result) + "\n")


def _distribute(workers: str, name: str, task: Any, elements: Sequence[Any]) -> None:
    import apache_beam as beam

    from components.movielens_example_gen.beam_tasks import distribute

    args = [f"--runner={_RUNNER}", "--pickle_library=cloudpickle"]
    if workers:
        mode = "--direct_running_mode=multi_processing"
        args += [mode, f"--direct_num_workers={workers}"]
    with beam.Pipeline(argv=args) as pipeline:
        distribute(pipeline, name, task, elements)


def _add(rows: Any, digest: Any) -> None:
    """Adds the events of a shard, or the movies, to a digest."""
    if "events" not in rows.schema.names:
        digest.update(str(rows.to_pydict()).encode())
        return
    digest.update(str(rows.column("user_id").to_pylist()).encode())
    for column in rows.column("events").flatten().flatten():
        digest.update(column.to_numpy().tobytes())


def _measure(folder: Path, way: str) -> dict[str, Any]:
    import apache_beam  # noqa: F401 - not counted

    from components.movielens_example_gen import ingest
    from components.movielens_example_gen.rows import chunks
    from pipeline.config import DataConfig

    mode, _, workers = way.partition("-")
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as scratch:
        Path("/proc/self/clear_refs").write_text("5")
        wall, before = time.monotonic(), os.times()
        read = ingest.ingest(
            folder,
            DataConfig(),
            scratch,
            mode,  # type: ignore[arg-type]  # argparse knows the choices
            functools.partial(_distribute, workers),
        )
        seconds, after = time.monotonic() - wall, os.times()
        status = Path("/proc/self/status").read_text()
        peak = next(row for row in status.splitlines() if row.startswith("VmHWM"))
        of_worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        digest = hashlib.blake2b(digest_size=8)
        for shard in (*read.staged.timelines, *read.staged.corpus):
            _add(chunks.read(shard), digest)
        size = sum(file.stat().st_size for file in Path(scratch).iterdir())
    cpu = (after.user + after.system) - (before.user + before.system)
    of_workers = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return {
        "way": way,
        "ratings": read.outcome.num_read,
        "wall_s": round(seconds, 1),
        "cpu_s": round(cpu, 1),
        "workers_cpu_s": round(of_workers, 1),
        "peak_rss_mib": int(peak.split()[1]) >> 10,
        "worker_peak_rss_mib": of_worker >> 10 if workers else None,
        "temporary_mib": size >> 20,
        "load": load,
        "digest": digest.hexdigest(),
    }


if __name__ == "__main__":
    main()
