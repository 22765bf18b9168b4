"""The arguments of `run_fn` as a file, for processes that TFX did not start."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from trainer.atomic_files import write_json

# Of TFX's `FnArgs`, what `trainer.training.run_fn` reads.
FIELDS: Final = (
    *("custom_config", "hyperparameters", "base_model", "transform_graph_path"),
    *("train_files", "eval_files", "serving_model_dir", "model_run_dir"),
)


def write_arguments(fn_args: Any, path: Path) -> None:
    """Writes what `run_fn` reads of its arguments."""
    write_json(path, {name: getattr(fn_args, name) for name in FIELDS})


def read_arguments(path: Path) -> Any:
    """Returns what `write_arguments` wrote, as an argument of `run_fn`."""
    return SimpleNamespace(**json.loads(path.read_text(encoding="utf-8")))
