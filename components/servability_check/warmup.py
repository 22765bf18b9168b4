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
from trainer.serving_contract import RECOMMEND_FROM_HISTORY, SERVING_DEFAULT

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
    logs = []
    for index, query in enumerate(queries):
        signature = (SERVING_DEFAULT, RECOMMEND_FROM_HISTORY)[index % 2]
        # The other inputs are called like the fields of a query.
        names = signature.inputs.keys() & dataclasses.asdict(query)
        inputs = {name: [getattr(query, name)] for name in names} | {"k": [k]}
        request = predict_pb2.PredictRequest(
            model_spec=model_pb2.ModelSpec(
                name=_MODEL_NAME, signature_name=signature.name
            ),
            inputs={
                name: tf.make_tensor_proto(tensor)
                for name, tensor in signature.tensors(**inputs).items()
            },
        )
        log = prediction_log_pb2.PredictLog(request=request)
        logs.append(prediction_log_pb2.PredictionLog(predict_log=log))
    io_utils.write_tfrecord_file(path_utils.warmup_file_path(model_path), *logs)
