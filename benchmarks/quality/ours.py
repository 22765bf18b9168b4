"""Trains the pipeline's own model: `python -m benchmarks.quality.ours WORK.json`.

Through `run_fn`, the Trainer's own entry, on what Transform made; ranked by the
exported model's `evaluate` signature. Prints `RESULT` and the seconds of the fit for
each seed.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import tensorflow as tf

from benchmarks.quality.prepared import Prepared, configuration
from benchmarks.quality.protocols import PROTOCOLS
from benchmarks.quality.split import Array
from trainer.config import to_json
from trainer.serving_contract import EVALUATE
from trainer.train_report import TRAIN_REPORT_FILE
from trainer.training import run_fn

_BATCH_SIZE: Final = 256
# Where an exported model keeps the weights of both towers.
_WEIGHTS: Final = "_encoder/_variables/"


def main() -> None:
    """See the module's docstring."""
    work = json.loads(Path(sys.argv[1]).read_text())
    prepared = Prepared(Path(work["folder"]))
    for seed, ranks_path in work["jobs"]:
        with tempfile.TemporaryDirectory() as folder:
            report = _train(work, seed, prepared, Path(folder))
            model = Path(folder) / "model"
            np.save(ranks_path, _ranks(model, prepared.examples))
            report["numbers"] = num_parameters(model)
        print("\nRESULT", json.dumps(report), flush=True)


def _train(
    work: dict[str, Any], seed: int, prepared: Prepared, folder: Path
) -> dict[str, Any]:
    changes = (*work["assignments"], f"train.seed={seed}")
    config = configuration(PROTOCOLS[work["protocol"]], *changes)
    files = {
        split: f"{prepared.transformed}/Split-{split}/*"
        for split in ("train", "corpus", "eval")
    }
    run_fn(
        SimpleNamespace(
            custom_config=to_json(config.trainer_config()),
            hyperparameters=None,
            transform_output=str(prepared.transform_graph),
            transform_graph_path=str(prepared.transform_graph),
            train_files=[files["train"], files["corpus"]],
            eval_files=[files["eval"]],
            serving_model_dir=str(folder / "model"),
            model_run_dir=str(folder / "Trainer" / "model_run" / "1"),
            base_model=None,
        )
    )
    report_file = folder / "Trainer" / "model_run" / "1" / TRAIN_REPORT_FILE
    report: dict[str, Any] = json.loads(report_file.read_text())
    return {
        "seconds": report["train_seconds"],
        "targets_per_second": report["targets_per_second"],
        # The first epoch makes the computation graph.
        "targets_per_second_by_epoch": [
            report["num_targets"] / seconds for seconds in report["epoch_seconds"][1:]
        ],
    }


def num_parameters(model: Path) -> int:
    """What training has learned: weights of both towers, without index and store.

    Raises:
      ValueError: If the exported model names them in another way.
    """
    saved = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    types = saved.get_variable_to_dtype_map()
    sizes = [
        math.prod(shape)
        for name, shape in saved.get_variable_to_shape_map().items()
        if name.startswith(_WEIGHTS) and types[name].is_floating
    ]
    if not sizes:
        raise ValueError(f"No variable of {model} begins with {_WEIGHTS}")
    return sum(sizes)


def _ranks(model: Path, examples: Path) -> Array:
    """Ranks of the held-out movies of all rows: `[rows, held_out]`, 0 for padding."""
    loaded = tf.saved_model.load(str(model))
    files = sorted(map(str, (examples / "Split-eval").glob("*")))
    rows = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_BATCH_SIZE)
    ranks = [EVALUATE.call(loaded, examples=batch)["rank"] for batch in rows]
    longest = max(part.shape[1] for part in ranks)
    return np.concatenate(
        [np.pad(part, [(0, 0), (0, longest - part.shape[1])]) for part in ranks]
    )


if __name__ == "__main__":
    main()
