"""Quality, speed and cost of training by several workers, in pairs of one seed.

    two-tower run --data-dir ml-100k --workspace /tmp/workspace
    PYTHONPATH=. python benchmarks/workers.py --workspace /tmp/workspace

Trains on what Transform wrote in a workspace and measures recall@10 on the last event
of every user, which is held out of training; nothing is exported. Seconds of CPU do not
depend on what else the machine does. Results are merged into `results/workers.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from trainer.workers.local import free_ports, threads_of_each

RESULTS: Final = Path(__file__).parent / "results" / "workers.json"
_ALL_USERS: Final = 1_000_000


def main() -> None:
    """Trains with each seed by each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--name", help="key of the results; default: the dataset")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--fit", type=int, help=argparse.SUPPRESS)  # a seed
    options = parser.parse_args()
    if options.fit is not None:
        print("FIT", json.dumps(_fit(options)), flush=True)
        # As workers end: TensorFlow may wait for minutes for those that are gone.
        os._exit(0)
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for workers in options.workers:
            rows.append({"seed": seed, "workers": workers, **_train(seed, workers)})
            print(json.dumps(rows[-1]), flush=True)
            found = options.results.exists()
            results = json.loads(options.results.read_text()) if found else {}
            results[options.name or options.dataset] = rows
            options.results.write_text(json.dumps(results, indent=2) + "\n")


def _train(seed: int, workers: int) -> dict[str, Any]:
    """Starts the processes with the arguments of this one; merges what they print."""
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    threads = str(threads_of_each(workers))
    limits = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    processes = []
    for index in range(workers):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        environment = {
            **dict.fromkeys(limits, threads),
            "TF_CONFIG": json.dumps(config),
        }
        command = [sys.executable, *sys.argv, "--fit", str(seed)]
        processes.append(
            subprocess.Popen(
                command,
                env={**os.environ, **environment, "TF_CPP_MIN_LOG_LEVEL": "2"},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
    found = []
    for process in processes:
        out, _ = process.communicate()
        (line,) = (line for line in out.splitlines() if line.startswith("FIT"))
        found.append(json.loads(line.removeprefix("FIT")))
    chief = found[0]
    return {
        "recall@10": chief["recall"],
        "loss": chief["loss"],
        "epoch_seconds": chief["epoch_seconds"],
        "targets_per_second": chief["targets_per_second"],
        # Of all workers.
        "cpu_seconds_per_million_targets": round(sum(one["cpu"] for one in found), 1),
        "peak_mib": [one["peak_mib"] for one in found],
        "load": round(os.getloadavg()[0], 1),
    }


def _fit(options: argparse.Namespace) -> dict[str, Any]:
    from pipeline.config.loading import load
    from trainer.devices import make_strategy, read_cluster
    from trainer.fitting import ProgressCallback
    from trainer.input_pipeline import read_training_data
    from trainer.training import train_model

    values = (f"train.seed={options.fit}", f"train.validation_queries={_ALL_USERS}")
    config = load([], [*options.assignments, *values], options.dataset).trainer_config()
    cluster = read_cluster()
    strategy = make_strategy(cluster)
    transform = options.workspace / "artifacts" / "Transform"
    (graph,) = transform.glob("transform_graph/*")
    (examples,) = transform.glob("transformed_examples/*")
    files = [f"{examples}/Split-{split}/*" for split in ("train", "corpus")]
    arguments = SimpleNamespace(transform_graph_path=str(graph), train_files=files)
    data = read_training_data(arguments, config.model)
    marks: list[float] = []

    class Clock(ProgressCallback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, logs)
            marks.append(time.process_time())

    import trainer.fitting

    trainer.fitting.ProgressCallback = Clock  # type: ignore[misc]  # a class
    with tempfile.TemporaryDirectory() as folder, strategy.scope():
        trained = train_model(data, config, folder, is_chief=cluster.is_chief)
    report = trained.report
    # Without the first epoch, which traces the training step.
    epochs = len(marks) - 1
    seconds = statistics.median(report.epoch_seconds[1:])
    return {
        "recall": round(report.recall[report.best_epoch - 1], 4),
        "loss": round(report.loss[-1], 4),
        "epoch_seconds": round(seconds, 2),
        "targets_per_second": round(report.num_targets / seconds),
        "cpu": (marks[-1] - marks[0]) / epochs / report.num_targets * 1e6,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
