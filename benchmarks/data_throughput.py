"""Seconds and memory of the data steps, from files to transformed examples, by size.

    python benchmarks/data_throughput.py 100k 1m 5m 25m

Ratings of each size are synthesized once (`two-tower data synthesize`) and then run in
a process of their own: MovieLensExampleGen, then StatisticsGen, the gates and
Transform, each in a LocalDagRunner run in which the steps before it are cached. Imports
are not counted. Results are printed as a table, and appended as JSON lines to
`--results`.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

# Each run ends with the next of these; the steps before it come from the cache.
LAST_NODES: Final = ("MovieLensExampleGen", "StatisticsGen", "DataGate", "Transform")
_KIB_PER_MIB: Final = 1024


def main() -> None:
    """Measures the sizes that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", default=["100k", "1m"])
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--results", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measure(options.child)))
        return
    for size in options.sizes:
        result = _in_own_process(_synthesized(options.scratch, size))
        _show(size, result)
        if options.results:
            with options.results.open("a") as out:
                out.write(json.dumps({"size": size, **result}) + "\n")


def _synthesized(scratch: Path, size: str) -> Path:
    from pipeline.datasets.synthesize import synthesize
    from pipeline.datasets.synthetic_ratings import config_of_size, parse_count

    folder = scratch / f"two-tower-benchmark-{size}"
    if not folder.exists():
        synthesize(folder, config_of_size(parse_count(size)))
    return folder


def _in_own_process(folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure(folder: Path) -> dict[str, Any]:
    """Runs the stages on one data set.

    Returns:
      `ratings`, and for each stage `wall_s`, `cpu_s` and `peak_rss_mib`.
    """
    from tfx.orchestration import metadata
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import RunOptions

    from components.movielens_example_gen.inputs.spans import content_fingerprint
    from pipeline.config import PipelineConfig
    from pipeline.pipeline import create_pipeline

    config = PipelineConfig()
    result: dict[str, Any] = {"ratings": _num_ratings(folder), "stages": {}}
    with tempfile.TemporaryDirectory() as root:
        pipeline = create_pipeline(
            config,
            pipeline_root=root,
            input_base=str(folder),
            content_fingerprint=content_fingerprint(folder, config.data),
            serving_dir=f"{root}/serving",
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                f"{root}/metadata.sqlite"
            ),
        )
        for last in LAST_NODES:
            options = RunOptions(to_nodes=[last])
            result["stages"][last] = _timed(
                functools.partial(LocalDagRunner().run, pipeline, run_options=options)
            )
    return result


def _timed(work: Callable[[], object]) -> dict[str, float]:
    # Writing 5 resets the peak to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    wall, before = time.monotonic(), os.times()
    work()
    after = os.times()
    status = Path("/proc/self/status").read_text()
    peak = next(row for row in status.splitlines() if row.startswith("VmHWM"))
    return {
        "wall_s": round(time.monotonic() - wall, 2),
        "cpu_s": round(after.user + after.system - before.user - before.system, 2),
        "peak_rss_mib": int(peak.split()[1]) // _KIB_PER_MIB,
    }


def _num_ratings(folder: Path) -> int:
    with (folder / "ratings.csv").open("rb") as stream:
        return (
            sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 24), b""))
            - 1
        )


def _show(size: str, result: dict[str, Any]) -> None:
    for name, measured in result["stages"].items():
        rate = result["ratings"] / measured["wall_s"]
        print(
            f"{size:>5} {name:<20} {measured['wall_s']:8.1f} s wall "
            f"{measured['cpu_s']:8.1f} s CPU {measured['peak_rss_mib']:6d} MiB "
            f"{rate:12,.0f} ratings/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
