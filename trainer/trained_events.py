"""Fingerprints of the events that a model was trained on, kept inside the model.

A model that was trained on the events it is evaluated on has excellent metrics, so they
cannot reveal the leak. The Evaluator therefore compares the held-out events with these
fingerprints, and refuses a model that was trained on one of them.

Fingerprints of all events would outgrow a large model. Only the smallest are kept: a
random sample that is the same on every machine.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import features as f
from trainer.input_pipeline import Columns, Corpus, Ragged

# 1 MiB: all events of ML-100K, one in two hundred of ML-25M.
_MAX_KEPT: Final = 1 << 17
_EVENTS_PER_CHUNK: Final = 1 << 20
# FarmHash64 without its highest bits: the same on every machine and release.
_NUM_BUCKETS: Final = 1 << 62


class TrainedEvents(tf.Module):
    """A sample of the events that a model was trained on.

    Args:
      fingerprints: int64 `[events]`, of which the smallest are kept.
    """

    def __init__(self, fingerprints: NDArray[np.int64]) -> None:
        super().__init__(name="trained_events")
        kept = np.unique(fingerprints)[:_MAX_KEPT]
        # Ends in a number that no event has: an empty tensor cannot be searched.
        self._kept = tf.Variable(np.append(kept, _NUM_BUCKETS), trainable=False)

    @classmethod
    def of(
        cls,
        train: Columns,
        corpus: Corpus,
        before: NDArray[np.int64] | None = None,
    ) -> TrainedEvents:
        """Returns a sample of all events that training reads, context included.

        Args:
          train: Transformed train rows.
          corpus: The movies.
          before: Fingerprints of the events of the model that training started from,
            which its weights remember.
        """
        movies: Ragged = train[f.MOVIE_INDICES]
        rows = np.repeat(np.arange(len(movies.lengths), dtype=np.int32), movies.lengths)
        # Looked up by TensorFlow: Python's objects take more time and memory.
        user_ids = tf.constant(train[f.USER_ID])
        movie_ids = tf.constant(np.append(corpus.movie_ids, b""))
        kept = np.empty(0, np.int64) if before is None else before
        for start in range(0, len(rows), _EVENTS_PER_CHUNK):
            chunk = slice(start, start + _EVENTS_PER_CHUNK)
            new = fingerprints(
                tf.gather(user_ids, rows[chunk]),
                tf.gather(movie_ids, movies.values[chunk]),
            ).numpy()
            if len(kept) == _MAX_KEPT:
                new = new[new < kept[-1]]
            kept = np.unique(np.append(kept, new))[:_MAX_KEPT]
        return cls(kept)

    def contains(self, user_id: tf.Tensor, movie_ids: tf.Tensor) -> tf.Tensor:
        """Returns which events the model is known to be trained on.

        Args:
          user_id: string `[batch]`.
          movie_ids: string `[batch, n]`.

        Returns:
          int32 `[batch, n]`: 1 for an event of the sample, else 0.
        """
        users = tf.broadcast_to(user_id[:, tf.newaxis], tf.shape(movie_ids))
        wanted = fingerprints(users, movie_ids)
        position = tf.searchsorted(self._kept, tf.reshape(wanted, [-1]))
        found = tf.reshape(tf.gather(self._kept, position), tf.shape(wanted))
        return tf.cast(tf.equal(found, wanted), tf.int32)


def fingerprints(user_ids: Any, movie_ids: Any) -> tf.Tensor:
    """Returns the fingerprint of each pair of ids, from 0 to `_NUM_BUCKETS` - 1.

    Args:
      user_ids: string or bytes, of any shape.
      movie_ids: string or bytes, of the same shape.

    Returns:
      int64, of the same shape.
    """
    events = tf.strings.join([user_ids, movie_ids], separator="\0")
    return tf.strings.to_hash_bucket_fast(events, _NUM_BUCKETS)
