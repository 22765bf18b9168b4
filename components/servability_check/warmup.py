"""Warm-up requests, which TensorFlow Serving replays before it serves a version."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import tensorflow as tf
from tensorflow_serving.apis import (
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)
from tfx.utils import io_utils, path_utils

from components.servability_check.queries import Query
from components.servability_check.serving_checks.calls import EVENTS, Client
from trainer import features as f
from trainer.serving_contract import RECOMMEND_EXAMPLES, SIGNATURES, Signature

_MODEL_NAME: Final = "two-tower"
_CLIENT: Final = Client(
    None, {each.name: dataclasses.asdict(each) for each in SIGNATURES}
)


def write_warmup(model_path: str, queries: Sequence[Query], count: int, k: int) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests` into a model.

    The requests call the signatures in turn, so that none is slow for its first caller.

    Args:
      model_path: Folder of the SavedModel.
      queries: The users of the requests, again from the start when they are used up.
      count: Number of requests; at least one of each signature is written.
      k: Movies to ask for.
    """
    signatures = len(SIGNATURES)
    logs = [
        _log(SIGNATURES[n % signatures], queries[n // signatures % len(queries)], k)
        for n in range(max(count, signatures))
    ]
    io_utils.write_tfrecord_file(path_utils.warmup_file_path(model_path), *logs)


def _log(
    signature: Signature, query: Query, k: int
) -> prediction_log_pb2.PredictionLog:
    row = dataclasses.asdict(query) | {f.MOVIE_ID: query.seen[0] if query.seen else ""}
    row = {name: value for name, value in row.items() if value is not None}
    if signature is RECOMMEND_EXAMPLES:
        row = {name: row[name] for name in (f.USER_ID, *EVENTS)}
    inputs = _CLIENT.batch(signature.name, [row | {"k": k}], by_server=True)
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name=_MODEL_NAME, signature_name=signature.name),
        inputs={
            name: tf.make_tensor_proto(value, signature.inputs[name].dtype)
            for name, value in inputs.items()
        },
    )
    log = prediction_log_pb2.PredictLog(request=request)
    return prediction_log_pb2.PredictionLog(predict_log=log)
