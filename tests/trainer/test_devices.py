"""Precision and workers."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import UserError
from tests.trainer.test_fitting import fitted, found
from tests.trainer.test_model import batch, make_model
from trainer.devices import precision, refuse_several_workers


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_the_same_and_does_not_outlive_the_model(
    name: str, tmp_path: Path
) -> None:
    with precision(name):
        model = make_model()
    assert keras.mixed_precision.dtype_policy().name == "float32"
    result = model(batch())
    assert result.queries.dtype == name.removeprefix("mixed_")
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.total_loss(result).dtype == tf.float32
    report = fitted(model, tmp_path)
    assert np.isfinite(report.loss).all()
    assert found(model) > 0.8


def test_without_a_gpu_the_automatic_precision_is_the_usual_one() -> None:
    with precision("auto"):
        model = make_model()
    assert model(batch()).queries.dtype == tf.float32


def test_several_workers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(alone))
    refuse_several_workers()
    several = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(several))
    with pytest.raises(UserError, match="TF_CONFIG names 2 workers"):
        refuse_several_workers()
