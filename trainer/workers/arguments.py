"""The arguments of `run_fn` as a file, for processes that TFX did not start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from trainer.atomic_files import write_json

# Of TFX's `FnArgs`, what `trainer.training.run_fn` reads.
FIELDS: Final = (
    *("custom_config", "hyperparameters", "base_model", "transform_graph_path"),
    *("train_files", "eval_files", "serving_model_dir", "model_run_dir"),
)


def as_mapping(fn_args: Any) -> dict[str, Any]:
    """Returns what `run_fn` reads of its arguments."""
    return {name: getattr(fn_args, name) for name in FIELDS}


def write_arguments(arguments: Mapping[str, Any], path: Path) -> None:
    """Writes what `as_mapping` returned."""
    write_json(path, dict(arguments))


def read_arguments(path: Path) -> Any:
    """Returns what `write_arguments` wrote, as an argument of `run_fn`."""
    return SimpleNamespace(**json.loads(path.read_text(encoding="utf-8")))
