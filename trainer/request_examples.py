"""Requests as serialized `tf.train.Example` messages."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from trainer.request_checks import RequestChecks, after, refuse_where
from trainer.serving_contract import DEFAULT_K, INCLUDE_SEEN, RECOMMEND, TensorType

# An Example has no other types: what a feature of an input's type is stored as.
_STORED_AS: Final = {"int32": tf.int64, "bool": tf.int64}


def parse(examples: tf.Tensor, checks: RequestChecks) -> dict[str, tf.Tensor]:
    """Returns the inputs of `RECOMMEND` that are in the messages.

    Args:
      examples: string `[batch]`. A message without a feature leaves the choice to the
        model: no event, no filter, `DEFAULT_K` movies. Only the user id must be there.
      checks: The limits.

    Returns:
      The inputs, whose lists are padded to the longest one.
    """
    absent = {"k": min(DEFAULT_K, checks.max_k)}
    parsed = tf.io.parse_example(
        examples,
        {
            name: _feature(tensor, absent.get(name, tensor.absent))
            for name, tensor in RECOMMEND.inputs.items()
        },
    )
    parsed = after([*_lists(parsed, checks), _flag(parsed[INCLUDE_SEEN])], parsed)
    return {
        name: _input(name, tensor, parsed[name])
        for name, tensor in RECOMMEND.inputs.items()
    }


def _feature(tensor: TensorType, absent: Any) -> Any:
    dtype = _STORED_AS.get(tensor.dtype, tf.as_dtype(tensor.dtype))
    if len(tensor.dims) > 1:
        return tf.io.RaggedFeature(dtype)
    default = None if absent is None else tf.constant(absent, dtype)
    return tf.io.FixedLenFeature([], dtype, default)


def _lists(parsed: dict[str, Any], checks: RequestChecks) -> list[tf.Operation]:
    """Checks lists before they are padded: their lengths must belong together."""
    first: dict[str, str] = {}  # the first list of each dimension
    refusals = []
    for name, tensor in RECOMMEND.inputs.items():
        if len(tensor.dims) == 1:
            continue
        lengths = parsed[name].row_lengths()
        like = first.setdefault(tensor.dims[1], name)
        if like == name:
            longest = tf.maximum(tf.reduce_max(lengths), 0)
            refusals.append(checks.length(name, tensor.dims[1], longest))
            continue
        others = parsed[like].row_lengths()
        refusals.append(
            refuse_where(
                tf.not_equal(others, lengths),
                f"{like} and {name} must have as many values in each example but the "
                "first others have",
                others,
                lengths,
            )
        )
    return refusals


def _flag(values: tf.Tensor) -> tf.Operation:
    is_flag = (values >= 0) & (values <= 1)
    return refuse_where(
        ~is_flag,
        f"{INCLUDE_SEEN} must be 0 or 1 but the first that is neither is",
        values,
    )


def _input(name: str, tensor: TensorType, values: Any) -> tf.Tensor:
    if isinstance(values, tf.RaggedTensor):
        return values.to_tensor(tensor.absent)
    if name == INCLUDE_SEEN:
        return tf.not_equal(values, 0)
    if tensor.dtype == "int32":
        # A number that does not fit is refused as the nearest one that does.
        values = tf.clip_by_value(values, tf.int32.min, tf.int32.max)
    return tf.cast(values, tensor.dtype)
