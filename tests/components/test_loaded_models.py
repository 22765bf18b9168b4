"""Models that several steps of a run call."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from components.loaded_models import load_model


def test_a_model_is_loaded_again_only_where_another_was_written(tmp_path: Path) -> None:
    def saved(number: float) -> str:
        module = tf.Module()
        module.number = tf.Variable(number)
        tf.saved_model.save(module, str(tmp_path / "model"))
        return str(tmp_path / "model")

    path = saved(1.0)
    first = load_model(path)
    assert load_model(path) is first
    saved(2.0)
    os.utime(tmp_path / "model/saved_model.pb", (1, 1))  # times have whole seconds
    assert float(load_model(path).number) == 2
    assert float(first.number) == 1
