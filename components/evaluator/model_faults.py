"""Says why a model cannot be evaluated, before or after TFMA stumbles over it."""

from __future__ import annotations

import json
from typing import Final

import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from components.evaluator.tfma_config import SIGNATURE
from components.metrics.base import Query
from trainer.serving_contract import MODEL_INFO_FILE

# Outputs of the `evaluate` signature that the metrics read. Whether a live model was
# trained on what is held out now is good to know, but it is live.
_OF_CANDIDATE: Final = frozenset(Query._fields)
_OF_LIVE_MODEL: Final = _OF_CANDIDATE - {"trained_on"}


def signature_fault(path: str, is_live: bool = False) -> str | None:
    """Returns what the SavedModel at `path` lacks, without loading it; None if nothing.

    Args:
      path: Directory with `saved_model.pb`.
      is_live: Whether it is the live model, from which less is asked.
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
    wanted = _OF_LIVE_MODEL if is_live else _OF_CANDIDATE
    missing = sorted(wanted - set(signatures[SIGNATURE].outputs))
    if missing:
        return f"its signature {SIGNATURE!r} does not return {', '.join(missing)}"
    return None


def ranking_fault(path: str, candidate_path: str) -> str | None:
    """Returns why two models' rankings cannot be compared; None if they can.

    Whether seen movies are candidates is decided when a model is exported. A model from
    before that was written down, or from elsewhere, is taken at its word.

    Args:
      path: Directory of the live model.
      candidate_path: Directory of the candidate.
    """
    live, candidate = _exclude_seen(path), _exclude_seen(candidate_path)
    if live is None or candidate is None or live == candidate:
        return None
    return (
        f"it was exported with eval.exclude_seen={str(live).lower()} and the candidate "
        f"with {str(candidate).lower()}, so their metrics cannot be compared"
    )


def _exclude_seen(path: str) -> bool | None:
    try:
        with tf.io.gfile.GFile(f"{path}/{MODEL_INFO_FILE}", "r") as file:
            return bool(json.load(file)["exclude_seen"])
    except (tf.errors.OpError, ValueError, KeyError):
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
