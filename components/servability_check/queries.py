"""Reads real requests from the eval split, and the corpus."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import tensorflow as tf
from tfx import types

from components.example_rows import arrow_batches, list_column, serialized_rows
from trainer import features


@dataclasses.dataclass(frozen=True)
class Query:
    """A user of the eval split. Ids are text, as in a request.

    Attributes:
      user_id: The user.
      movie_ids: The newest events of the training timeline, oldest first.
      ratings: Their ratings, in stars.
      timestamps: Their times, in seconds since the epoch, UTC.
      seen: All movies that the user has rated, but for the held-out ones.
      seen_before: Those that the user had rated before the first one held out.
      held_out: The movies that were held out.
      age: In years; None if unknown.
      gender: None if unknown.
      occupation: None if unknown.
      example: The serialized row, in base64.
    """

    user_id: str
    movie_ids: list[str]
    ratings: list[float]
    timestamps: list[int]
    seen: list[str]
    seen_before: list[str]
    held_out: list[str]
    age: int | None
    gender: str | None
    occupation: str | None
    example: str


def read_queries(examples: types.Artifact, count: int) -> list[Query]:
    """Returns the first `count` rows of the eval split."""
    rows = serialized_rows(examples, features.EVAL_SPLIT).take(count)
    return [_query(row) for row in rows.as_numpy_iterator()]


def read_corpus(examples: types.Artifact) -> dict[str, list[Any]]:
    """Returns `movie_id`, `genres` and `year` of all movies, a list each.

    The year is 0 where it is unknown.
    """
    corpus: dict[str, list[Any]] = {
        name: [] for name in (features.MOVIE_ID, features.GENRES, features.YEAR)
    }
    for batch in arrow_batches(examples, features.CORPUS_SPLIT):
        columns: dict[str, list[list[Any]]] = {}
        for name in corpus:
            values = list_column(batch, name)
            found = values.to_pylist() if values is not None else []
            columns[name] = [row or [] for row in found] or [[]] * batch.num_rows
        corpus[features.MOVIE_ID] += [
            movie[0].decode("utf-8") for movie in columns[features.MOVIE_ID]
        ]
        corpus[features.GENRES] += [
            [genre.decode("utf-8") for genre in genres]
            for genres in columns[features.GENRES]
        ]
        corpus[features.YEAR] += [
            year[0] if year else 0 for year in columns[features.YEAR]
        ]
    return corpus


def _query(serialized: bytes) -> Query:
    row = tf.train.Example.FromString(serialized).features.feature

    def text(name: str) -> list[str]:
        return [value.decode("utf-8") for value in row[name].bytes_list.value]

    ages = row[features.AGE].int64_list.value
    before, later = text(features.SEEN_MOVIE_IDS), text(features.LATER_MOVIE_IDS)
    return Query(
        user_id=text(features.USER_ID)[0],
        movie_ids=text(features.MOVIE_IDS),
        ratings=list(row[features.RATINGS].float_list.value),
        timestamps=list(row[features.TIMESTAMPS].int64_list.value),
        seen=before + later,
        seen_before=before,
        held_out=text(features.HELD_OUT_MOVIE_IDS),
        age=next(iter(ages), None),
        gender=next(iter(text(features.GENDER)), None),
        occupation=next(iter(text(features.OCCUPATION)), None),
        example=base64.b64encode(serialized).decode("ascii"),
    )
