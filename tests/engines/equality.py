"""What two runs of the same pipeline have in common, artifact by artifact."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2

# Metrics are sums of floats over users, which engines add up in different orders.
_RELATIVE: Final = 1e-9


def differences(local: Path, other: Path) -> dict[str, str]:
    """Compares the newest artifacts of two workspaces.

    Returns:
      What was compared -> how it differs; empty where it is equal.
    """
    found = {}
    for name, read in _READERS.items():
        first, second = read(local), read(other)
        assert first, f"{name}: nothing in {local}"
        found[name] = _difference(first, second)
    return found


def _difference(first: dict[str, Any], second: dict[str, Any]) -> str:
    if first.keys() != second.keys():
        return f"only one of them has {sorted(first.keys() ^ second.keys())[:5]}"
    wrong = [key for key in first if not _same(first[key], second[key])]
    return ", ".join(f"{key}: {first[key]} | {second[key]}" for key in wrong[:3])


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=_RELATIVE, abs_tol=_RELATIVE)
    return bool(first == second)


def _newest(workspace: Path, output: str) -> Path:
    """The folder of a step's newest output, such as `Trainer/model_run`."""
    folders = (workspace / "artifacts" / output).iterdir()
    return max(folders, key=lambda path: int(path.name))


def _bytes(folder: Path, pattern: str) -> dict[str, str]:
    """Path -> digest of the files below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def _transformed(workspace: Path) -> dict[str, Counter[bytes]]:
    """Split -> its rows, which engines write in files and an order of their own."""
    found = {}
    for split in sorted(_newest(workspace, "Transform/transformed_examples").iterdir()):
        files = [str(path) for path in sorted(split.glob("*.gz"))]
        rows = tf.data.TFRecordDataset(files, compression_type="GZIP")
        found[split.name] = Counter(map(_canonical, rows.as_numpy_iterator()))
    return found


def _canonical(row: bytes) -> bytes:
    """A row whose features are in the order of their names: a map has none."""
    example = tf.train.Example.FromString(row)
    return bytes(example.SerializeToString(deterministic=True))


def _statistics(workspace: Path) -> dict[str, Any]:
    """Counts of each split. Quantiles are sketches, which depend on the order."""
    found: dict[str, Any] = {}
    folder = _newest(workspace, "StatisticsGen/statistics")
    for path in folder.glob("*/FeatureStats.pb"):
        read = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        for data in read.datasets:
            split = path.parent.name
            found[split] = data.num_examples
            for feature in data.features:
                name = f"{split} {'.'.join(feature.path.step)}"
                kind = feature.WhichOneof("stats")
                stats = getattr(feature, kind)
                common = stats.common_stats
                found[f"{name} present"] = common.num_non_missing
                found[f"{name} values"] = common.tot_num_values
                if kind == "num_stats":
                    found[f"{name} mean"] = stats.mean
                    found[f"{name} range"] = (stats.min, stats.max)
    return found


def _numbers(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{prefix}{key} ")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{prefix}{index} ")
    else:
        yield prefix, value


def _evaluation(workspace: Path) -> dict[str, Any]:
    path = _newest(workspace, "Evaluator/evaluation") / "retrieval_summary.json"
    return dict(_numbers(json.loads(path.read_text())))


def _blessings(workspace: Path) -> dict[str, Any]:
    folders = ("Evaluator/blessing", "ServabilityCheck/blessing")
    names = [_bytes(_newest(workspace, name), "*BLESSED") for name in folders]
    pushed = (workspace / "serving").glob("[0-9]*")
    return {"files": names, "versions pushed": len(list(pushed))}


_READERS: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    "Examples, byte for byte": lambda path: _bytes(
        _newest(path, "MovieLensExampleGen/examples"), "**/*.gz"
    ),
    "counts of StatisticsGen": _statistics,
    "vocabularies, byte for byte": lambda path: _bytes(
        _newest(path, "Transform/transform_graph"), "transform_fn/assets/*"
    ),
    "transformed rows": _transformed,
    "ranks of each query, byte for byte": lambda path: _bytes(
        _newest(path, "Evaluator/evaluation"), "query_ranks.parquet"
    ),
    "metrics of the Evaluator": _evaluation,
    "blessing and push": _blessings,
}
