"""Finds out why a model cannot be evaluated."""

from __future__ import annotations

import json
from typing import Final

import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from trainer.serving_contract import EVALUATE, MODEL_INFO_FILE

# Outputs of `EVALUATE` that the metrics read. An older live model may not know what it
# was trained on, nor the recall of its index, nor the genres of its lists.
_OF_CANDIDATE: Final = frozenset(EVALUATE.outputs)
_OF_LIVE_MODEL: Final = _OF_CANDIDATE - {
    *("trained_on", "index_recall", "genre_diversity", "genre_divergence")
}


def signature_fault(path: str, is_live: bool = False) -> str | None:
    """Returns what the SavedModel at `path` lacks, without loading it; None if nothing.

    Args:
      path: Directory with `saved_model.pb`.
      is_live: Whether it is the live model, which needs fewer outputs.
    """
    saved_model = saved_model_pb2.SavedModel()
    try:
        with tf.io.gfile.GFile(f"{path}/saved_model.pb", "rb") as file:
            saved_model.ParseFromString(file.read())
    except tf.errors.NotFoundError:
        return "it has no saved_model.pb"
    except message.DecodeError:
        return "its saved_model.pb is damaged"
    graph = next(iter(saved_model.meta_graphs), meta_graph_pb2.MetaGraphDef())
    outputs = _outputs_of_evaluate(graph)
    if outputs is None:
        names = [name for name in graph.signature_def if not name.startswith("__")]
        return (
            f"it has no function {EVALUATE.name!r}, only the signatures "
            f"{', '.join(sorted(names)) or 'none'}"
        )
    wanted = _OF_LIVE_MODEL if is_live else _OF_CANDIDATE
    if missing := sorted(wanted - outputs):
        return f"its function {EVALUATE.name!r} does not return {', '.join(missing)}"
    return None


def _outputs_of_evaluate(graph: meta_graph_pb2.MetaGraphDef) -> set[str] | None:
    """Returns the names of the outputs; None if there is no such function.

    Where `trainer.serving_contract.Signature.function` looks for it: as a signature,
    which it is in older models, or as an attribute of the saved object.
    """
    if EVALUATE.name in graph.signature_def:
        return set(graph.signature_def[EVALUATE.name].outputs)
    objects = graph.object_graph_def
    for child in objects.nodes[0].children if objects.nodes else ():
        function = objects.nodes[child.node_id].function
        if child.local_name == EVALUATE.name and function.concrete_functions:
            traced = objects.concrete_functions[function.concrete_functions[0]]
            return set(traced.output_signature.dict_value.fields)
    return None


def ranking_fault(path: str, candidate_path: str) -> str | None:
    """Returns why two models' rankings cannot be compared; None if they can.

    Whether seen movies are candidates is decided when a model is exported. A model that
    does not record it is assumed to be comparable.

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
    except (tf.errors.OpError, ValueError, LookupError, TypeError, RecursionError):
        return None


def run_fault(path: str, row: bytes) -> str | None:
    """Returns why the model cannot rank for a serialized eval row; None if it can.

    Args:
      path: Directory with `saved_model.pb`.
      row: A `tf.train.Example`.
    """
    try:
        model = tf.saved_model.load(path)
        EVALUATE.call(model, examples=[row])
    except Exception as error:  # a model of unknown origin may raise anything
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    return None
