"""Says why a model cannot be evaluated, before or after TFMA stumbles over it."""

from __future__ import annotations

from typing import Final

import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from components.evaluator.eval_config import SIGNATURE
from components.metrics.base import Query

# Outputs of the `evaluate` signature that the metrics read.
_OUTPUTS: Final = Query._fields


def signature_fault(path: str) -> str | None:
    """Returns what the SavedModel at `path` lacks, without loading it; None if nothing.

    Args:
      path: Directory with `saved_model.pb`.
    """
    saved_model = saved_model_pb2.SavedModel()
    try:
        with tf.io.gfile.GFile(f"{path}/saved_model.pb", "rb") as file:
            saved_model.ParseFromString(file.read())
    except tf.errors.NotFoundError:
        return "it has no saved_model.pb"
    except message.DecodeError:
        return "its saved_model.pb is damaged"
    graphs = saved_model.meta_graphs
    signatures = graphs[0].signature_def if graphs else {}
    if SIGNATURE not in signatures:
        public = sorted(name for name in signatures if not name.startswith("__"))
        return f"it has no signature {SIGNATURE!r}, only {', '.join(public) or 'none'}"
    missing = sorted(set(_OUTPUTS) - set(signatures[SIGNATURE].outputs))
    if missing:
        return f"its signature {SIGNATURE!r} does not return {', '.join(missing)}"
    return None


def run_fault(path: str, row: bytes) -> str | None:
    """Returns why the model cannot rank for a serialized eval row; None if it can.

    Args:
      path: Directory with `saved_model.pb`.
      row: A `tf.train.Example`.
    """
    try:
        model = tf.saved_model.load(path)
        model.signatures[SIGNATURE](examples=tf.constant([row]))
    except Exception as error:  # whatever a stranger's model raises is its fault
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    return None
