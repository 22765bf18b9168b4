"""Quality and speed of training by several workers, in pairs of one seed.

    PYTHONPATH=. python benchmarks/workers.py --work /tmp/workers --data-dir ml-100k

Each run ends with the Evaluator; the steps before the Trainer come from the cache after
the first. Results are merged into `results/workers.json` by dataset.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any, Final

from pipeline.cli.tables import make_console
from pipeline.config.loading import load
from pipeline.local.run_view import RunView
from pipeline.local.session import run_pipeline
from trainer.train_report import TRAIN_REPORT_FILE

RESULTS: Final = Path(__file__).parent / "results" / "workers.json"
_METRICS: Final = ("hit_rate@10", "ndcg@10")


def main() -> None:
    """Trains with each seed by each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--name", help="key of the results; default: the data's name")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    name = options.name or options.data_dir.name
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for workers in options.workers:
            rows.append(_one(options, seed, workers))
            _keep(options.results, name, rows)
            print(json.dumps(rows[-1]), flush=True)


def _one(options: argparse.Namespace, seed: int, workers: int) -> dict[str, Any]:
    values = (
        "train.warm_start=never",
        f"train.seed={seed}",
        f"train.workers={workers}",
    )
    config = load([], [*options.assignments, *values], options.data_dir.name)
    before = os.getloadavg()[0]
    # The cache does not know the number of workers: a workspace for each.
    summary, _ = run_pipeline(
        config,
        options.work / f"workspace-{workers}",
        RunView(make_console()),
        data_dir=options.data_dir,
        no_cache=False,
        until="Evaluator",
    )
    content = summary.as_json()
    folder = options.work / f"workspace-{workers}" / "artifacts" / "Trainer"
    reports = folder.glob(f"model_run/*/{TRAIN_REPORT_FILE}")
    report = json.loads(max(reports, key=os.path.getmtime).read_text())
    trainer = next(step for step in content["steps"] if step["id"] == "Trainer")
    return {
        "seed": seed,
        "workers": workers,
        "load_before": round(before, 1),
        **{key: round(content["metrics"]["candidate"][key], 4) for key in _METRICS},
        "targets_per_second": round(report["targets_per_second"]),
        # The first epoch also traces the training step.
        "epoch_seconds": round(
            statistics.median(report["epoch_seconds"][1:] or [0]), 2
        ),
        "trainer_seconds": trainer["seconds"],
        "trainer_peak_mib": trainer.get("peak_rss_mb"),
    }


def _keep(path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    results = json.loads(path.read_text()) if path.exists() else {}
    results[name] = rows
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
