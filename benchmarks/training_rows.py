"""Row updates of large tables against Keras' Adam: seconds of a step, and quality.

    python -m benchmarks.training_rows ml-25m --data-dir DIR --steps 50
    python -m benchmarks.training_rows ml-1m --data-dir DIR --epochs 2 --seeds 1 2 3

`--steps` takes so many training steps with each, in turns, and prints CPU and wall
milliseconds of one. `--epochs` trains and prints recall@10 of the newest training event
of `--queries` users after each epoch. One line of JSON each.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.warm_start.spans import cuts, make_span, read_edition
from pipeline.config.loading import load
from trainer import features as f
from trainer import row_adam
from trainer.config import TrainerConfig
from trainer.input_pipeline import TrainingData, take_rows
from trainer.train_report import FitReport
from trainer.training import train_model

# Name to the number of values from which a table is updated by rows.
VARIANTS: Final = {"keras": 1 << 60, "rows": row_adam.LARGE_TABLE, "all rows": 1}


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", help="MovieLens edition")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["rows"])
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--queries", type=int, default=5000)
    options = parser.parse_args()
    config = load([], [f"data.dataset={options.dataset}"])
    edition = read_edition(options.data_dir, config)
    data = make_span(edition, cuts(edition, 1, None)[-1], config).data
    for seed in options.seeds:
        for variant in options.variants:
            row_adam.LARGE_TABLE = VARIANTS[variant]  # type: ignore[misc]  # Final
            measured = {"dataset": options.dataset, "variant": variant, "seed": seed}
            if options.steps:
                measured |= _speed(data, config.trainer_config(), options.steps)
            if options.epochs:
                changes = {"seed": seed, "epochs": options.epochs, "patience": None}
                changes["validation_queries"] = options.queries
                measured |= _quality(data, config.trainer_config(), changes)
            print(json.dumps(measured), flush=True)


def _quality(
    data: TrainingData, config: TrainerConfig, changes: dict[str, Any]
) -> dict[str, Any]:
    report, cpu = _train(data, config, changes)
    return {
        "recall@10": np.round(report.recall, 4).tolist(),
        "queries": report.num_queries,
        "loss": np.round(report.loss, 4).tolist(),
        "cpu_seconds": round(cpu, 1),
    }


def _speed(data: TrainingData, config: TrainerConfig, steps: int) -> dict[str, Any]:
    """Trains on windows for so many steps, with the tables of all the data."""
    drawn = np.random.default_rng(0).permutation(len(data.train[f.USER_INDEX]))
    rows = drawn[: steps * config.train.batch_size]
    data = data._replace(train=take_rows(data.train, rows))
    no_queries = {"validation_queries": 0}
    _, one = _train(data, config, {**no_queries, "epochs": 1})
    report, three = _train(data, config, {**no_queries, "epochs": 3})
    wall = float(np.median(report.epoch_seconds[1:])) / steps
    return {
        # The first epoch makes the computation graph.
        "step_cpu_ms": round((three - one) / 2 / steps * 1e3, 1),
        "step_wall_ms": round(wall * 1e3, 1),
        "targets": round(report.num_targets / steps),
    }


def _train(
    data: TrainingData, config: TrainerConfig, changes: dict[str, Any]
) -> tuple[FitReport, float]:
    """Returns the report, and CPU seconds."""
    train = dataclasses.replace(config.train, **changes)
    config = dataclasses.replace(config, train=train)
    before = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        report = train_model(data, config, folder).report
    return report, time.process_time() - before


if __name__ == "__main__":
    main()
