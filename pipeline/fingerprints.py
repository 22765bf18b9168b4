"""Fingerprints of our own code, so that an edited step is never served from the cache.

TFX caches a step by its inputs and parameters. The code behind a dotted path such as
`trainer.training.run_fn` is neither, so each step gets the hash of its sources as a
parameter. https://github.com/tensorflow/tfx/issues/3049
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from pipeline.config import PipelineConfig

_ROOT: Final = Path(__file__).resolve().parent.parent

_SINGLE: Final = "components/single_artifacts.py"
_TUNED: Final = "trainer/tuning/hyperparameters.py"
# Node id -> the sources that its result depends on, files or whole folders.
_SOURCES: Final[dict[str, tuple[str, ...]]] = {
    "MovieLensExampleGen": ("components/movielens_example_gen",),
    "SchemaImporter": ("components/schema_importer", _SINGLE),
    "ExampleValidator": ("components/example_validator",),
    "DataGate": (
        "components/data_gate",
        "components/example_rows.py",
        "components/serving_directory.py",
        _SINGLE,
    ),
    "Transform": ("trainer/preprocessing.py",),
    "Tuner": ("trainer", "components/tuner", _TUNED),
    "Trainer": ("trainer", _TUNED),
    "LiveModel": ("components/live_model", "components/serving_directory.py", _SINGLE),
    "Evaluator": ("components/evaluator", "components/metrics"),
    "ServabilityCheck": (
        "components/servability_check",
        "components/example_rows.py",
        _SINGLE,
    ),
    "ReportGen": ("components/report_gen", "components/example_rows.py", _SINGLE),
    "Pusher": ("components/pusher", "components/serving_directory.py"),
}
_SHARED_SOURCES: Final = ("trainer/features.py", "trainer/movielens.py")
# The same code means something else under another release of these.
_LIBRARIES: Final = ("tfx", "tensorflow", "tensorflow-transform", "keras")


def code_fingerprints(config: PipelineConfig | None = None) -> dict[str, str]:
    """Returns node id -> hash of the sources and libraries that the node runs.

    Args:
      config: Whose dotted paths name sources of the user's own; None for none.
    """
    libraries = [f"{name}=={metadata.version(name)}" for name in _LIBRARIES]
    own = {} if config is None else _own_classes(config)
    return {
        node: _digest(
            [*sources, *_SHARED_SOURCES], [*libraries, *_own_code(own.get(node, ()))]
        )
        for node, sources in _SOURCES.items()
    }


def _own_classes(config: PipelineConfig) -> dict[str, list[str]]:
    """Node id -> dotted paths that its part of the configuration names."""
    model, train = config.model, config.train
    towers = (model.history_encoder, model.query_tower, model.candidate_tower)
    trained = [*towers, train.loss, train.optimizer]
    named = {
        "Tuner": trained,
        "Trainer": trained,
        "Evaluator": config.eval.metrics,
    }
    return {
        node: [name.partition("@")[0] for name in names if "." in name]
        for node, names in named.items()
    }


def _own_code(names: Iterable[str]) -> Iterator[str]:
    """Yields what the modules of classes say, if they are here and not in an image."""
    for module in sorted({name.rpartition(".")[0] for name in names}):
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # a parent package; the step itself will say so
            spec = None
        origin = Path(spec.origin) if spec and spec.origin else None
        content = origin.read_bytes() if origin and origin.is_file() else b""
        yield f"{module} {hashlib.sha256(content).hexdigest()}"


def _digest(sources: list[str], libraries: list[str]) -> str:
    digest = hashlib.sha256("\n".join(libraries).encode())
    for path in sorted(_files(sources)):
        digest.update(path.relative_to(_ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files(sources: list[str]) -> set[Path]:
    """Lists source files and their data, without what Python makes of them."""
    paths = [_ROOT / source for source in sources]
    files = {path for path in paths if path.is_file()}
    for folder in paths:
        files |= {
            path
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    return files
