"""Warm-up requests, which TensorFlow Serving replays before it serves a version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import tensorflow as tf
from tensorflow_serving.apis import (
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)
from tfx.utils import io_utils, path_utils

from components.servability_check.queries import Query

_MODEL_NAME: Final = "two-tower"


def write_warmup(model_path: str, queries: Sequence[Query], k: int) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests` into a model.

    Both recommending signatures are warmed up, so that neither is slow for the first
    caller.

    Args:
      model_path: Folder of the SavedModel.
      queries: The users of the requests, one request each.
      k: Movies to ask for.
    """
    logs = (
        prediction_log_pb2.PredictionLog(
            predict_log=prediction_log_pb2.PredictLog(request=request)
        )
        for request in _requests(queries, k)
    )
    io_utils.write_tfrecord_file(path_utils.warmup_file_path(model_path), *logs)


def _requests(queries: Sequence[Query], k: int) -> Iterator[predict_pb2.PredictRequest]:
    for place, query in enumerate(queries):
        if place % 2:
            history = {
                "movie_ids": tf.constant([query.movie_ids], tf.string),
                "ratings": tf.constant([query.ratings], tf.float32),
                "timestamps": tf.constant([query.timestamps], tf.int64),
            }
            yield _request("recommend_from_history", query.user_id, k, history)
        else:
            yield _request("serving_default", query.user_id, k, {})


def _request(
    signature: str, user_id: str, k: int, history: dict[str, Any]
) -> predict_pb2.PredictRequest:
    spec = model_pb2.ModelSpec(name=_MODEL_NAME, signature_name=signature)
    inputs = {"user_id": tf.constant([user_id]), "k": tf.constant(k)} | history
    protos = {name: tf.make_tensor_proto(value) for name, value in inputs.items()}
    return predict_pb2.PredictRequest(model_spec=spec, inputs=protos)
