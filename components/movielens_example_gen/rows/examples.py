"""Encodes the rows of the three splits from shards of the staged tables.

See `trainer.features` for what each feature means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.rows import encoding, slicing, staging
from components.movielens_example_gen.rows.encoding import (
    BytesColumn,
    FloatColumn,
    IntColumn,
    bytes_feature,
    int_feature,
)
from components.movielens_example_gen.rows.slicing import MovieSlices, bucket
from components.movielens_example_gen.tables import Ids, as_ids
from trainer import features as f


def cut_windows(
    num_events: int, length: int, stride: int
) -> Iterator[tuple[int, int, int]]:
    """Cuts a timeline into windows, so that every event is a target exactly once.

    The first window has no context. Each later one starts `stride` events after the one
    before it, and its first `length - stride` events, which were targets there, are
    context.

    Args:
      num_events: Length of the timeline.
      length: Maximum number of events of a window.
      stride: New targets per window.

    Yields:
      (first event, end, number of context events) of each window.
    """
    start, done = 0, 0
    while done < num_events:
        end = min(start + length, num_events)
        yield start, end, done - start
        start, done = start + stride, end


def count_windows(lengths: NDArray[np.int64], length: int, stride: int) -> int:
    """Returns how many windows `cut_windows` makes of timelines of these lengths.

    Args:
      lengths: `[num_users]` events of each timeline.
      length: Maximum number of events of a window.
      stride: New targets per window.
    """
    beyond_the_first = np.maximum(lengths - length, 0)
    return int((lengths > 0).sum() + (-(-beyond_the_first // stride)).sum())


@dataclass(frozen=True)
class Corpus:
    """The movies as the rows of users need them, prepared once for all rows.

    Attributes:
      encoded_ids: `[num_movies]` each id, encoded as one value of a BytesList.
      slices: What to slice queries by, for each movie that may be held out.
    """

    encoded_ids: Ids
    slices: MovieSlices

    @classmethod
    def read(cls, staged: staging.Staged) -> Corpus:
        """Reads the staged corpus."""
        corpus = pa.Table.from_batches(
            staging.read_shard(staged.corpus_path, index)
            for index in range(staged.corpus_shards)
        )
        movie_ids = corpus[f.MOVIE_ID].to_pylist()
        encoded = as_ids([encoding.bytes_value(movie_id) for movie_id in movie_ids])
        return cls(encoded, MovieSlices.of(corpus))


@dataclass(frozen=True)
class _Columns:
    """The events of a shard as encodable columns, with the start of each user's."""

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
    shard: pa.RecordBatch, corpus: Corpus, config: ExampleGenConfig
) -> Iterator[bytes]:
    """Yields the windows of each user of a shard, oldest first."""
    events = _Columns.of(shard, staging.TRAIN, corpus.encoded_ids)
    for user, (start, end) in zip(
        _user_features(shard, events, config), pairwise(events.starts), strict=True
    ):
        cuts = cut_windows(end - start, config.window_length, config.window_stride)
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
    shard: pa.RecordBatch, corpus: Corpus, config: ExampleGenConfig
) -> Iterator[bytes]:
    """Yields one query for each user of a shard with held-out events."""
    train = _Columns.of(shard, staging.TRAIN, corpus.encoded_ids)
    held_out = _Columns.of(shard, staging.HELD_OUT, corpus.encoded_ids)
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
                **corpus.slices.features(held_out.movies.codes[first:last].tolist()),
            }
        )


def _user_features(
    shard: pa.RecordBatch, events: _Columns, config: ExampleGenConfig
) -> Iterator[dict[str, bytes]]:
    """Yields, for each user, the features that all rows of the user share."""
    user_ids = shard.column("user_id").to_pylist()
    attributes = shard.column("attributes").to_pylist()
    lengths = np.diff(events.starts).tolist()
    for user_id, known, length in zip(user_ids, attributes, lengths, strict=True):
        activity = bucket(length, config.activity_bounds)
        features = {
            f.USER_ID: bytes_feature([user_id]),
            f.ACTIVITY: bytes_feature([activity.encode()]),
        }
        if known is not None:
            features[f.AGE] = int_feature([known[f.AGE]])
            for name in (f.GENDER, f.OCCUPATION, f.ZIP_CODE):
                features[name] = bytes_feature([known[name].encode()])
        yield features


def corpus_rows(shard: pa.RecordBatch) -> Iterator[bytes]:
    """Yields one row for each movie of a shard."""
    columns = (column.to_pylist() for column in shard.columns)
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


def encode_shard(
    split: str,
    staged: staging.Staged,
    index: int,
    corpus: Corpus | None,
    config: ExampleGenConfig,
) -> Iterator[bytes]:
    """Yields the serialised rows of one shard of a split.

    Args:
      split: One of `trainer.features.SPLITS`.
      staged: The tables.
      index: The shard's number within the split.
      corpus: The movies; may be None for the corpus split.
      config: Window length and stride, activity buckets.
    """
    if split == f.CORPUS_SPLIT or corpus is None:
        return corpus_rows(staging.read_shard(staged.corpus_path, index))
    shard = staging.read_shard(staged.timelines_path, index)
    encode = train_rows if split == f.TRAIN_SPLIT else eval_rows
    return encode(shard, corpus, config)
