"""What a request allows and excludes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import tensorflow as tf

from trainer import features as f
from trainer.movielens import CHILDRENS, GENRES
from trainer.request_checks import refuse_where
from trainer.retrieval_index import Filters
from trainer.serving_contract import FIRST_YEAR, LAST_YEAR

_NAMES: Final = (*GENRES, CHILDRENS)
_BITS: Final = 1 << np.array([*range(len(GENRES)), GENRES.index("Children")], np.int32)


def filters_of(inputs: Mapping[str, tf.Tensor]) -> Filters:
    """Returns the filters of a request.

    Args:
      inputs: `genres`, string `[batch, G]`, "" for none; `first_year` and `last_year`.
    """
    return Filters(_genre_bits(inputs[f.GENRES]), inputs[FIRST_YEAR], inputs[LAST_YEAR])


def _genre_bits(names: tf.Tensor) -> tf.Tensor:
    """Returns bit masks over `GENRES`: int32 `[batch]`; refuses other names."""
    hits = tf.equal(names[:, :, tf.newaxis], tf.constant(_NAMES))
    is_known = tf.reduce_any(hits, axis=2) | tf.equal(names, "")
    known = refuse_where(
        ~is_known,
        f"{f.GENRES} must be of {', '.join(GENRES)} but the first that is not is",
        names,
    )
    with tf.control_dependencies([known]):
        bits = tf.where(tf.reduce_any(hits, axis=1), tf.constant(_BITS), 0)
    # Two names of one genre have the same bit.
    children = tf.bitwise.bitwise_or(bits[:, GENRES.index("Children")], bits[:, -1])
    others = tf.reduce_sum(bits[:, : len(GENRES)], axis=1)
    return tf.bitwise.bitwise_or(others, children)
