"""Precision and workers."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.devices import Cluster, precision, read_cluster
from trainer.errors import UserError


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.slow  # trains until the model has learned
def test_half_precision_learns_and_is_reset_after_the_model(
    name: str, tmp_path: Path
) -> None:
    with precision(name):
        model = small.make_model()
    assert keras.mixed_precision.dtype_policy().name == "float32"
    result = model(small.batch())
    assert result.queries.dtype == name.removeprefix("mixed_")
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.total_loss(result).dtype == tf.float32
    report = small.fitted(model, tmp_path)
    assert np.isfinite(report.loss).all()
    assert small.top_hit_rate(model) > 0.8


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_auxiliary_losses_work_in_half_precision(name: str) -> None:
    with precision(name):
        model = small.make_model(weights=(1, 1))
    loss = model.total_loss(model(small.batch(), training=True))
    assert loss.dtype == tf.float32 and np.isfinite(loss)


def test_without_a_gpu_the_automatic_precision_is_the_usual_one() -> None:
    with precision("auto"):
        model = small.make_model()
    assert model(small.batch()).queries.dtype == tf.float32


WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "expected"),
    [
        ({"worker": ["a:1"]}, "worker", 0, Cluster(1, is_chief=True)),
        (WORKERS, "worker", 0, Cluster(2, is_chief=True)),
        (WORKERS, "worker", 1, Cluster(2, is_chief=False)),
        ({"chief": ["c:1"], **WORKERS}, "worker", 0, Cluster(3, is_chief=False)),
        ({"chief": ["c:1"], **WORKERS}, "chief", 0, Cluster(3, is_chief=True)),
    ],
)
def test_one_of_the_workers_is_the_chief(
    monkeypatch: pytest.MonkeyPatch,
    cluster: dict[str, list[str]],
    kind: str,
    index: int,
    expected: Cluster,
) -> None:
    task = {"type": kind, "index": index}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert read_cluster() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        (json.dumps({"cluster": WORKERS}), "cannot be read"),
        (
            json.dumps(
                {
                    "cluster": {**WORKERS, "ps": ["p:1"]},
                    "task": {"type": "worker", "index": 0},
                }
            ),
            "parameter servers",
        ),
    ],
)
def test_an_invalid_cluster_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=message):
        read_cluster()
