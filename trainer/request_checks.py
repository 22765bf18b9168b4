"""Refuses requests that the served model must not compute, before memory is used.

Each refusal is an `InvalidArgumentError` that names the input, its value and the limit.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer import features as f
from trainer.config import RequestLimits
from trainer.user_store import EventLists


class RequestChecks:
    """The checks of the served model's inputs.

    Each method returns its inputs in a form that is computed after the checks only.

    Args:
      limits: The largest request.
      num_movies: Size of the corpus.
    """

    def __init__(self, limits: RequestLimits, num_movies: int) -> None:
        self._limits = limits
        self.max_k = min(limits.max_k, num_movies)

    def ids(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        """Checks the number of ids: string `[batch]`.

        Args:
          name: The input's name.
          ids: Its value.
        """
        ids = _of_rank(1, name, ids)
        rows, limit = tf.size(ids), self._limits.max_batch
        return _after(
            [_at_most(f"{name} has too many rows: serving.max_batch is", limit, rows)],
            ids,
        )

    def k(self, k: tf.Tensor, user_id: tf.Tensor) -> tf.Tensor:
        """Checks the numbers of movies asked for.

        Args:
          k: int32 `[batch]`.
          user_id: string `[batch]`.
        """
        k = _of_rank(1, "k", k)
        least, most = tf.reduce_min(k), tf.reduce_max(k)
        in_range = _assert(
            (least >= 1) & (most <= self.max_k),
            "k must be from 1 to",
            self.max_k,
            "(the smaller of the corpus size and serving.max_k) but is",
            tf.where(least < 1, least, most),
        )
        return _after([_same_rows("k", k, user_id), in_range], k)

    def events(
        self,
        movie_ids: tf.Tensor,
        ratings: tf.Tensor,
        timestamps: tf.Tensor,
        user_id: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Checks the shapes and ratings of timelines.

        Args:
          movie_ids: string `[batch, L]`.
          ratings: float32 `[batch, L]`.
          timestamps: int64 `[batch, L]`.
          user_id: string `[batch]`.

        Returns:
          `movie_ids`, `ratings` and `timestamps`.
        """
        movie_ids = _of_rank(2, f.MOVIE_IDS, movie_ids)
        ratings = _of_rank(2, f.RATINGS, ratings)
        timestamps = _of_rank(2, f.TIMESTAMPS, timestamps)
        limit, length = self._limits.max_history, tf.shape(movie_ids)[1]
        shapes = [
            _same_rows(f.MOVIE_IDS, movie_ids, user_id),
            *(
                _assert(
                    tf.reduce_all(tf.shape(movie_ids) == tf.shape(column)),
                    f"{f.MOVIE_IDS} and {name} must have the same shape but have",
                    tf.shape(movie_ids),
                    tf.shape(column),
                )
                for name, column in ((f.RATINGS, ratings), (f.TIMESTAMPS, timestamps))
            ),
            _at_most(
                f"{f.MOVIE_IDS} has too many events in a row: serving.max_history is",
                limit,
                length,
            ),
        ]
        movie_ids, ratings, timestamps = _after(shapes, movie_ids, ratings, timestamps)
        # What stands in place of an event is not read.
        is_number = tf.math.is_finite(ratings) | tf.equal(movie_ids, "")
        finite = _assert(
            tf.reduce_all(is_number),
            f"{f.RATINGS} must be finite numbers but the first that is none is",
            tf.boolean_mask(ratings, ~is_number)[:1],
        )
        return _after([finite], movie_ids, ratings, timestamps)


def in_order(
    movie_ids: tf.Tensor, ratings: tf.Tensor, timestamps: tf.Tensor
) -> EventLists:
    """Makes timelines of a request's events: by time, as those of the training data.

    Events of the same second keep their order. Events without a movie id are left out.

    Args:
      movie_ids: string `[batch, L]`.
      ratings: float32 `[batch, L]`.
      timestamps: int64 `[batch, L]`.

    Returns:
      The timelines, with movie *ids* for movies.
    """
    order = tf.argsort(timestamps, stable=True)
    columns = [
        tf.gather(column, order, batch_dims=1)
        for column in (movie_ids, ratings, timestamps)
    ]
    is_event = columns[0] != ""
    return EventLists(*(tf.ragged.boolean_mask(c, is_event) for c in columns))


def _of_rank(rank: int, name: str, tensor: tf.Tensor) -> tf.Tensor:
    """Refuses a tensor of another rank.

    A server does not compare inputs with the shapes of a signature, and TensorFlow
    itself aborts the process where a user id has the rank 2. The error shows both
    shapes, and the input's name as the node's.
    """
    return tf.ensure_shape(tensor, [None] * rank, name=f"shape_of_{name}")


def _same_rows(name: str, tensor: tf.Tensor, user_id: tf.Tensor) -> tf.Operation:
    return _assert(
        tf.equal(tf.shape(tensor)[0], tf.size(user_id)),
        f"{name} and {f.USER_ID} must have the same number of rows but have",
        tf.shape(tensor)[0],
        tf.size(user_id),
    )


def _at_most(what: str, limit: int, value: tf.Tensor) -> tf.Operation:
    return _assert(value <= limit, what, limit, "but the request has", value)


def _assert(condition: tf.Tensor, *message: Any) -> tf.Operation:
    # `tf.debugging.Assert` adds a conditional, which costs more time than the message.
    return tf.raw_ops.Assert(
        condition=condition, data=[tf.convert_to_tensor(m) for m in message]
    )


def _after(checks: list[tf.Operation], *tensors: tf.Tensor) -> Any:
    """Returns the tensors, or the only one, once the checks have passed."""
    with tf.control_dependencies(checks):
        passed = [tf.identity(tensor) for tensor in tensors]
    return passed if len(passed) > 1 else passed[0]
