"""Reads real requests from the eval split, and the corpus."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from tfx import types

from components.example_rows import arrow_batches, serialized_rows
from trainer import features


@dataclasses.dataclass(frozen=True)
class Query:
    """A user of the eval split. Ids are text, as in a request.

    Attributes:
      user_id: The user.
      movie_ids: The newest events of the training timeline, oldest first.
      ratings: Their ratings, in stars.
      timestamps: Their times, in seconds since the epoch, UTC.
      seen: All movies that the user has rated, but for the next:
      held_out: The movies that were held out.
    """

    user_id: str
    movie_ids: list[str]
    ratings: list[float]
    timestamps: list[int]
    seen: list[str]
    held_out: list[str]


def read_queries(examples: types.Artifact, count: int) -> list[Query]:
    """Returns the first `count` rows of the eval split."""
    rows = serialized_rows(examples, features.EVAL_SPLIT).take(count)
    return [_query(row) for row in rows.as_numpy_iterator()]


def read_corpus(examples: types.Artifact) -> list[str]:
    """Returns all movie ids."""
    return [
        movie.decode("utf-8")
        for batch in arrow_batches(examples, features.CORPUS_SPLIT)
        for movie in batch.column(features.MOVIE_ID).flatten().to_pylist()
    ]


def _query(serialized: bytes) -> Query:
    row = tf.train.Example.FromString(serialized).features.feature

    def text(name: str) -> list[str]:
        return [value.decode("utf-8") for value in row[name].bytes_list.value]

    return Query(
        user_id=text(features.USER_ID)[0],
        movie_ids=text(features.MOVIE_IDS),
        ratings=list(row[features.RATINGS].float_list.value),
        timestamps=list(row[features.TIMESTAMPS].int64_list.value),
        seen=text(features.SEEN_MOVIE_IDS) + text(features.LATER_MOVIE_IDS),
        held_out=text(features.HELD_OUT_MOVIE_IDS),
    )
