"""Refuses requests that the served model must not compute, before memory is used.

Each refusal is an `InvalidArgumentError` that names the input, its value and the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import tensorflow as tf

from trainer import features as f
from trainer.config import RequestLimits
from trainer.serving_contract import DIVERSITY, FIRST_YEAR, LAST_YEAR, Signature

# Dimension -> what it counts, and the field of `RequestLimits` that bounds it.
_BOUNDS: Final = {
    "B": ("rows", "max_batch"),
    "L": ("events in a row", "max_history"),
    "X": ("movies in a row", "max_filters"),
    "G": ("names in a row", "max_filters"),
}


class RequestChecks:
    """The checks of the served model's inputs.

    Args:
      limits: The largest request.
      num_movies: Size of the corpus.

    Attributes:
      max_k: Most movies that a row may ask for.
    """

    def __init__(self, limits: RequestLimits, num_movies: int) -> None:
        self._limits = limits
        self.max_k = min(limits.max_k, num_movies)

    def __call__(
        self, signature: Signature, inputs: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Checks a request.

        Args:
          signature: What is called.
          inputs: Its inputs by name.

        Returns:
          The same, to be computed after the checks only.
        """
        shapes = {name: tensor.dims for name, tensor in signature.inputs.items()}
        inputs = {
            name: _of_rank(len(shapes[name]), name, tensor)
            for name, tensor in inputs.items()
        }
        inputs = after(self._shapes(shapes, inputs), inputs)
        return after(self._values(inputs), inputs)

    def length(self, name: str, dim: str, size: tf.Tensor) -> tf.Operation:
        """Checks the size of a dimension.

        Args:
          name: The input.
          dim: Name of the dimension in the contract.
          size: Integer scalar.
        """
        what, key = _BOUNDS[dim]
        return refuse_unless(
            size <= getattr(self._limits, key),
            f"{name} has too many {what}: serving.{key} is",
            getattr(self._limits, key),
            "but the request has",
            size,
        )

    def _shapes(
        self, shapes: Mapping[str, tuple[str, ...]], inputs: Mapping[str, tf.Tensor]
    ) -> list[tf.Operation]:
        """Checks the size of each dimension, and that inputs belong together."""
        first: dict[tuple[str, ...], str] = {}  # the first input of each shape
        checks = []
        for name, tensor in inputs.items():
            dims, shape = shapes[name], tf.shape(tensor)
            if dims in first and len(dims) > 1:
                like = first[dims]
                checks.append(
                    refuse_unless(
                        tf.reduce_all(tf.shape(inputs[like]) == shape),
                        f"{like} and {name} must have the same shape but have",
                        tf.shape(inputs[like]),
                        shape,
                    )
                )
                continue
            if first:
                like = next(iter(first.values()))
                checks.append(
                    refuse_unless(
                        tf.equal(shape[0], tf.shape(inputs[like])[0]),
                        f"{name} and {like} must have the same number of rows but have",
                        shape[0],
                        tf.shape(inputs[like])[0],
                    )
                )
            if dims not in first:
                checks.append(self.length(name, dims[-1], shape[-1]))
            first.setdefault(dims, name)
        return checks

    def _values(self, inputs: Mapping[str, tf.Tensor]) -> list[tf.Operation]:
        checks = []
        if "k" in inputs:
            checks.append(self._k(inputs["k"]))
        if f.RATINGS in inputs:
            checks.append(_ratings(inputs[f.MOVIE_IDS], inputs[f.RATINGS]))
        if FIRST_YEAR in inputs:
            checks += _years(inputs[FIRST_YEAR], inputs[LAST_YEAR])
        if DIVERSITY in inputs:
            checks.append(_diversity(inputs[DIVERSITY]))
        return checks

    def _k(self, k: tf.Tensor) -> tf.Operation:
        least, most = tf.reduce_min(k), tf.reduce_max(k)
        return refuse_unless(
            (least >= 1) & (most <= self.max_k),
            "k must be from 1 to",
            self.max_k,
            "(the smaller of the corpus size and serving.max_k) but is",
            tf.where(least < 1, least, most),
        )


def _ratings(movie_ids: tf.Tensor, ratings: tf.Tensor) -> tf.Operation:
    # What stands in place of an event is not read.
    is_number = tf.math.is_finite(ratings) | tf.equal(movie_ids, "")
    return refuse_where(
        ~is_number,
        f"{f.RATINGS} must be finite numbers but the first that is none is",
        ratings,
    )


def _years(first: tf.Tensor, last: tf.Tensor) -> list[tf.Operation]:
    in_order = refuse_where(
        (first > last) & tf.not_equal(last, 0),
        f"{FIRST_YEAR} must not be after {LAST_YEAR} but the first such years are",
        first,
        last,
    )
    not_negative = [
        refuse_where(
            years < 0,
            f"{name} must be a year, or 0 for no bound, but the first that is neither "
            "is",
            years,
        )
        for name, years in ((FIRST_YEAR, first), (LAST_YEAR, last))
    ]
    return [*not_negative, in_order]


def _diversity(diversity: tf.Tensor) -> tf.Operation:
    is_share = (diversity >= 0) & (diversity < 1)
    return refuse_where(
        ~is_share,
        f"{DIVERSITY} must be at least 0 and less than 1 but the first that is not is",
        diversity,
    )


def _of_rank(rank: int, name: str, tensor: tf.Tensor) -> tf.Tensor:
    """Refuses a tensor of another rank.

    A server does not compare inputs with the shapes of a signature, and TensorFlow
    itself aborts the process where a user id has the rank 2. The error shows both
    shapes, and the input's name as the node's.
    """
    return tf.ensure_shape(tensor, [None] * rank, name=f"shape_of_{name}")


def refuse_unless(condition: tf.Tensor, *message: Any) -> tf.Operation:
    """Returns the operation that fails with a message.

    Args:
      condition: bool scalar.
      *message: Texts, numbers and tensors.
    """
    # `tf.debugging.Assert` adds a conditional, which costs more time than the message.
    return tf.raw_ops.Assert(
        condition=condition, data=[tf.convert_to_tensor(m) for m in message]
    )


def refuse_where(
    is_refused: tf.Tensor, message: str, *values: tf.Tensor
) -> tf.Operation:
    """Returns the operation that fails if any value is refused, and shows the first.

    Args:
      is_refused: bool, of the shape of the values.
      message: Begins the error.
      *values: Of which the first refused one ends the error.
    """
    # `tf.boolean_mask` makes five times as many nodes, which are loaded with a model.
    first = tf.where(is_refused)[:1]
    return refuse_unless(
        ~tf.reduce_any(is_refused), message, *(tf.gather_nd(v, first) for v in values)
    )


def after(
    checks: list[tf.Operation], inputs: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Returns the inputs, which are computed once the checks have passed."""
    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in inputs.items()}
