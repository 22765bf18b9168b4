"""The rows of the three splits, from one shard of the staged tables.

What each feature means stands in `trainer.features`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from components.movielens_example_gen import encoding, ids, slicing, staging
from components.movielens_example_gen import row_windows as windows
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.encoding import (
    BytesColumn,
    FloatColumn,
    IntColumn,
    bytes_feature,
    int_feature,
)
from components.movielens_example_gen.slicing import MovieSlices, bucket
from components.movielens_example_gen.tables import Ids
from trainer import features as f


@dataclass(frozen=True)
class Catalogue:
    """What the rows of users need to know of the movies: made once, used in every row.

    Attributes:
      encoded_ids: Each movie id as one value of a BytesList.
      slices: What queries are sliced by.
    """

    encoded_ids: Ids
    slices: MovieSlices

    @classmethod
    def read(cls, staged: staging.Staged) -> Catalogue:
        """Reads the staged corpus."""
        corpus = [
            staging.read_shard(staged.corpus_path, index)
            for index in range(staged.corpus_shards)
        ]
        movie_ids = [
            movie for batch in corpus for movie in batch.column(f.MOVIE_ID).to_pylist()
        ]
        encoded = ids.as_ids([encoding.bytes_value(movie_id) for movie_id in movie_ids])
        return cls(encoded, MovieSlices.of(corpus))


@dataclass(frozen=True)
class _Columns:
    """The events of a shard, encoded, with where each user's begin."""

    starts: list[int]
    movies: BytesColumn
    ratings: FloatColumn
    timestamps: IntColumn

    @classmethod
    def of(cls, shard: pa.RecordBatch, name: str, encoded: Ids) -> _Columns:
        column = shard.column(name)
        first = column.offsets[0].as_py()
        fields = column.flatten()
        return cls(
            (column.offsets.to_numpy() - first).tolist(),
            BytesColumn(encoded, fields.field(0).to_numpy()),
            FloatColumn(fields.field(1).to_numpy()),
            IntColumn(fields.field(2).to_numpy()),
        )

    def timeline(self, start: int, end: int) -> dict[str, bytes]:
        return {
            f.MOVIE_IDS: self.movies.feature(start, end),
            f.RATINGS: self.ratings.feature(start, end),
            f.TIMESTAMPS: self.timestamps.feature(start, end),
        }


def train_rows(
    shard: pa.RecordBatch, catalogue: Catalogue, config: ExampleGenConfig
) -> Iterator[bytes]:
    """Yields the windows of each user of the shard, oldest first."""
    events = _Columns.of(shard, staging.TRAIN, catalogue.encoded_ids)
    for user, (start, end) in zip(
        _user_features(shard, events, config), pairwise(events.starts), strict=True
    ):
        cuts = windows.cut(end - start, config.window_length, config.window_stride)
        for index, (first, stop, context) in enumerate(cuts):
            yield encoding.example(
                {
                    **user,
                    **events.timeline(start + first, start + stop),
                    f.NUM_CONTEXT: int_feature([context]),
                    f.WINDOW_INDEX: int_feature([index]),
                }
            )


def eval_rows(
    shard: pa.RecordBatch, catalogue: Catalogue, config: ExampleGenConfig
) -> Iterator[bytes]:
    """Yields one query for each user of the shard from whom something is held out."""
    train = _Columns.of(shard, staging.TRAIN, catalogue.encoded_ids)
    held_out = _Columns.of(shard, staging.HELD_OUT, catalogue.encoded_ids)
    for user, known, (start, end), (first, last) in zip(
        _user_features(shard, train, config),
        shard.column("attributes").to_pylist(),
        pairwise(train.starts),
        pairwise(held_out.starts),
        strict=True,
    ):
        if first == last:
            continue
        recent = max(start, end - config.window_length)
        yield encoding.example(
            {
                **user,
                **train.timeline(recent, end),
                f.SEEN_MOVIE_IDS: train.movies.feature(start, end),
                f.HELD_OUT_MOVIE_IDS: held_out.movies.feature(first, last),
                f.HELD_OUT_RATINGS: held_out.ratings.feature(first, last),
                f.HELD_OUT_TIMESTAMPS: held_out.timestamps.feature(first, last),
                **slicing.user_features(end - start, known["age"] if known else None),
                **catalogue.slices.features(held_out.movies.codes[first:last].tolist()),
            }
        )


def _user_features(
    shard: pa.RecordBatch, events: _Columns, config: ExampleGenConfig
) -> Iterator[dict[str, bytes]]:
    """Yields what all rows of one user share."""
    user_ids = shard.column("user_id").to_pylist()
    attributes = shard.column("attributes").to_pylist()
    lengths = np.diff(events.starts).tolist()
    for user_id, known, length in zip(user_ids, attributes, lengths, strict=True):
        activity = bucket(length, config.activity_bounds)
        yield {
            f.USER_ID: bytes_feature([user_id]),
            f.ACTIVITY: bytes_feature([activity.encode()]),
            **_attribute_features(known),
        }


def _attribute_features(known: Mapping[str, Any] | None) -> dict[str, bytes]:
    if known is None:
        return {}
    return {
        f.AGE: int_feature([known["age"]]),
        f.GENDER: bytes_feature([known["gender"].encode()]),
        f.OCCUPATION: bytes_feature([known["occupation"].encode()]),
        f.ZIP_CODE: bytes_feature([known["zip_code"].encode()]),
    }


def corpus_rows(shard: pa.RecordBatch) -> Iterator[bytes]:
    """Yields one row for each movie of the shard."""
    columns = (shard.column(i).to_pylist() for i in range(shard.num_columns))
    for movie_id, title, genres, year, num_ratings in zip(*columns, strict=True):
        yield encoding.example(
            {
                f.MOVIE_ID: bytes_feature([movie_id]),
                f.TITLE: bytes_feature([title.encode()]),
                f.GENRES: bytes_feature(genre.encode() for genre in genres),
                f.NUM_RATINGS: int_feature([num_ratings]),
                **({} if year is None else {f.YEAR: int_feature([year])}),
            }
        )


def rows_of(
    split: str,
    staged: staging.Staged,
    index: int,
    catalogue: Catalogue | None,
    config: ExampleGenConfig,
) -> Iterator[bytes]:
    """Yields the rows of one shard of a split.

    Args:
      split: One of `trainer.features.SPLITS`.
      staged: The tables.
      index: The shard's number within the split.
      catalogue: The movies; None for the corpus, which needs none.
      config: Window length and stride, activity buckets.
    """
    if split == f.CORPUS_SPLIT or catalogue is None:
        return corpus_rows(staging.read_shard(staged.corpus_path, index))
    shard = staging.read_shard(staged.timelines_path, index)
    make = train_rows if split == f.TRAIN_SPLIT else eval_rows
    return make(shard, catalogue, config)
