"""Seconds and memory of each step by size, from files to a pushed model.

    PYTHONPATH=. python benchmarks/scale.py --work /tmp/scale 1m 5m 25m

Ratings of each size are synthesized once, then `two-tower run` trains on them for one
epoch, evaluates and pushes the model, and a process with TensorFlow alone loads it. The
run's own output is shown, a line a step. A command that was interrupted goes on where
it was: steps that ended come from the cache, and their figures from the runs that
computed them. Results are merged into `results/scale.json` by size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results" / "scale.json"
_MIB: Final = 1 << 20
_METRICS: Final = ("hit_rate@10", "ndcg@10")
# Seconds to load the model, and to answer one request afterwards.
_LOAD: Final = """
import json, resource, statistics, sys, time
import tensorflow as tf
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.monotonic()
model = tf.saved_model.load(sys.argv[1])
loaded = time.monotonic() - start
ask = model.signatures["serving_default"]
user = tf.constant(["1"])
k = tf.constant([10])
times = []
for _ in range(50):
    start = time.monotonic()
    ask(user_id=user, k=k)
    times.append(time.monotonic() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "load_s": round(loaded, 2),
    "request_ms": round(statistics.median(times) * 1000, 2),
    "memory_mib": (peak - before) // 1024,
}))
"""


def main() -> None:
    """Measures the sizes that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", default=["1m", "5m", "25m"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--name", default="", help="results are kept apart by name")
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        help="one more argument of `two-tower run`; may be repeated",
    )
    options = parser.parse_args()
    for size in options.sizes:
        name = "-".join(filter(None, ("workspace", size, options.name)))
        workspace = options.work / name
        print(f"== {size}", flush=True)
        data = _synthesized(options.work, size)
        load_before = os.getloadavg()[0]
        command = ("run", "--data-dir", data, "--workspace", workspace)
        _run(*command, "--set", "train.epochs=1", *options.arg)
        row = {
            "ratings": _num_ratings(data),
            "load_before": round(load_before, 2),
            **_figures(workspace),
        }
        _keep(options.results, f"{size} {options.name}".strip(), row)
        print(json.dumps(row, indent=2), flush=True)


def _synthesized(work: Path, size: str) -> Path:
    folder = work / f"ratings-{size}"
    if not folder.exists():
        _run("data", "synthesize", folder, "--ratings", size)
    return folder


def _run(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    subprocess.run(command, check=True)


def _figures(workspace: Path) -> dict[str, Any]:
    """Reads what the runs of a workspace came to, the last one last."""
    paths = sorted(workspace.glob("runs/2*/summary.json"))
    summaries = [json.loads(path.read_text()) for path in paths]
    last = summaries[-1]
    steps = _steps(summaries)
    model = Path(last["pushed_model"] or last["live_model"])
    command = [sys.executable, "-c", _LOAD, str(model)]
    loaded = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    report = Path(last["report"])
    evaluation = _newest(workspace / "artifacts/Evaluator/evaluation")
    return {
        "steps": steps,
        "seconds": round(sum(step["seconds"] for step in steps.values()), 1),
        "peak_mib": max(step.get("peak_rss_mb", 0) for step in steps.values()),
        "training": _training(workspace),
        "metrics": {
            name: {key: values and round(values[key], 4) for key in _METRICS}
            for name, values in last["metrics"].items()
        },
        "model": {
            "mib": round(_bytes(model.rglob("*")) / _MIB, 1),
            **json.loads(loaded.stdout.splitlines()[-1]),
        },
        "query_ranks_mib": round(_bytes(evaluation.glob("query_ranks*")) / _MIB, 1),
        "report_mib": round(report.stat().st_size / _MIB, 2),
    }


def _steps(summaries: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each step as the run measured it that computed it."""
    found: dict[str, dict[str, float]] = {}
    for summary in summaries:
        for step in summary["steps"]:
            if step["state"] == "done":
                found[step["id"]] = {
                    key: step[key] for key in ("seconds", "peak_rss_mb") if key in step
                }
    return found


def _newest(output: Path) -> Path:
    """The folder of the last execution, whose name is its number."""
    return max(output.iterdir(), key=lambda folder: int(folder.name))


def _training(workspace: Path) -> dict[str, Any]:
    folder = _newest(workspace / "artifacts/Trainer/model_run")
    report = json.loads((folder / "train_report.json").read_text())
    keys = ("num_targets", "train_seconds", "targets_per_second", "epoch_seconds")
    return {key: report[key] for key in keys}


def _num_ratings(data: Path) -> int:
    with (data / "ratings.csv").open("rb") as file:
        chunks = iter(lambda: file.read(1 << 24), b"")
        return sum(chunk.count(b"\n") for chunk in chunks) - 1  # the header


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


def _keep(path: Path, name: str, row: dict[str, Any]) -> None:
    rows = json.loads(path.read_text()) if path.exists() else {}
    rows[name] = row
    path.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
