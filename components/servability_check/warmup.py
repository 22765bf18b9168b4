"""Warm-up requests, which TensorFlow Serving replays before it serves a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import tensorflow as tf
from tensorflow_serving.apis import (
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)
from tfx.utils import io_utils, path_utils

from components.servability_check.queries import Query
from trainer.serving_contract import RECOMMEND_FROM_HISTORY, SERVING_DEFAULT, Signature

_MODEL_NAME: Final = "two-tower"


def write_warmup(model_path: str, queries: Sequence[Query], k: int) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests` into a model.

    The requests call both signatures that recommend, so that neither is slow for its
    first caller.

    Args:
      model_path: Folder of the SavedModel.
      queries: The users of the requests, one request each.
      k: Movies to ask for.
    """
    logs = (
        prediction_log_pb2.PredictionLog(
            predict_log=prediction_log_pb2.PredictLog(
                request=_from_history(query, k) if index % 2 else _default(query, k)
            )
        )
        for index, query in enumerate(queries)
    )
    io_utils.write_tfrecord_file(path_utils.warmup_file_path(model_path), *logs)


def _default(query: Query, k: int) -> predict_pb2.PredictRequest:
    return _request(SERVING_DEFAULT, user_id=[query.user_id], k=k)


def _from_history(query: Query, k: int) -> predict_pb2.PredictRequest:
    return _request(
        RECOMMEND_FROM_HISTORY,
        user_id=[query.user_id],
        movie_ids=[query.movie_ids],
        ratings=[query.ratings],
        timestamps=[query.timestamps],
        k=k,
    )


def _request(signature: Signature, **inputs: Any) -> predict_pb2.PredictRequest:
    spec = model_pb2.ModelSpec(name=_MODEL_NAME, signature_name=signature.name)
    protos = {
        name: tf.make_tensor_proto(value, signature.inputs[name].dtype)
        for name, value in inputs.items()
    }
    return predict_pb2.PredictRequest(model_spec=spec, inputs=protos)
