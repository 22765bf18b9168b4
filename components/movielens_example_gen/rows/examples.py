"""Encodes the rows of the splits from shards of the staged tables.

See `trainer.features` for what each feature means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.rows import chunks, encoding, slicing, staging
from components.movielens_example_gen.rows.encoding import (
    BytesColumn,
    FloatColumn,
    IntColumn,
    bytes_feature,
    int_feature,
)
from components.movielens_example_gen.rows.slicing import MovieSlices, bucket
from components.movielens_example_gen.tables import Ids, as_ids
from components.movielens_example_gen.timelines import HELD_OUT, KNOWN, SEEN, TRAIN
from trainer import features as f
from trainer.movielens import RatingScale


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
        return cls.of(map(chunks.read, staged.corpus))

    @classmethod
    def of(cls, shards: Iterable[pa.RecordBatch]) -> Corpus:
        """Prepares the movies of shards of the staged corpus."""
        corpus = pa.Table.from_batches(shards)
        movie_ids = corpus[f.MOVIE_ID].to_pylist()
        encoded = as_ids([encoding.bytes_value(movie_id) for movie_id in movie_ids])
        return cls(encoded, MovieSlices.of(corpus))


@dataclass(frozen=True)
class _Events:
    """The events of a shard, or some of them, as arrays.

    Attributes:
      starts: `[num_users + 1]` where each user's events begin.
      movies, ratings, timestamps, kinds: `[num_events]`, see `timelines.Events`.
    """

    starts: NDArray[np.int64]
    movies: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    kinds: NDArray[np.int8]

    @classmethod
    def of(cls, shard: pa.RecordBatch) -> _Events:
        column = shard.column("events")
        starts = column.offsets.to_numpy()
        columns = (field.to_numpy() for field in column.flatten().flatten())
        return cls(starts - starts[0], *columns)

    def where(self, mask: NDArray[np.bool_]) -> _Events:
        if mask.all():
            return self
        before = np.concatenate(([0], np.cumsum(mask)))
        return _Events(
            before[self.starts],
            self.movies[mask],
            self.ratings[mask],
            self.timestamps[mask],
            self.kinds[mask],
        )

    def of_kind(self, *kinds: int) -> _Events:
        return self.where(np.isin(self.kinds, kinds))

    def before_query(self, split: str) -> NDArray[np.bool_]:
        """Marks what is known when the movies that are held out are asked for.

        That is what comes before the first of them; in a random split, where time does
        not count, all that is not held out.
        """
        held_out = self.kinds == HELD_OUT
        if split == "random":
            return ~held_out
        count = np.concatenate(([0], np.cumsum(held_out)))
        at_start = np.repeat(count[self.starts[:-1]], np.diff(self.starts))
        mask: NDArray[np.bool_] = count[1:] == at_start
        return mask


@dataclass(frozen=True)
class _Columns:
    """Events as encodable columns, with the start of each user's."""

    starts: list[int]
    movies: BytesColumn
    ratings: FloatColumn
    timestamps: IntColumn

    @classmethod
    def of(cls, events: _Events, corpus: Corpus) -> _Columns:
        return cls(
            events.starts.tolist(),
            BytesColumn(corpus.encoded_ids, events.movies),
            FloatColumn(events.ratings),
            IntColumn(events.timestamps),
        )

    def timeline(self, start: int, end: int) -> dict[str, bytes]:
        return {
            f.MOVIE_IDS: self.movies.feature(start, end),
            f.RATINGS: self.ratings.feature(start, end),
            f.TIMESTAMPS: self.timestamps.feature(start, end),
        }


@dataclass(frozen=True)
class _MovieLists:
    """A list of movies for each user."""

    starts: list[int]
    movies: BytesColumn

    @classmethod
    def of(cls, events: _Events, corpus: Corpus) -> _MovieLists:
        column = BytesColumn(corpus.encoded_ids, events.movies)
        return cls(events.starts.tolist(), column)

    def feature(self, user: int) -> bytes:
        return self.movies.feature(self.starts[user], self.starts[user + 1])


def train_rows(
    shard: pa.RecordBatch, corpus: Corpus, config: ExampleGenConfig
) -> Iterator[bytes]:
    """Yields the windows of each user of a shard, oldest first."""
    trained = _Events.of(shard).of_kind(TRAIN)
    events = _Columns.of(trained, corpus)
    for user, (start, end) in zip(
        _user_features(shard, trained, config), pairwise(events.starts), strict=True
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
    events = _Events.of(shard)
    trained, known = events.of_kind(TRAIN), events.before_query(config.split)
    history = _Columns.of(events.where(known & (events.kinds != SEEN)), corpus)
    asked = events.of_kind(HELD_OUT)
    held_out = _Columns.of(asked, corpus)
    scale = RatingScale.of(config.rating_scale)
    seen = _MovieLists.of(events.where(known), corpus)
    later = _MovieLists.of(events.where(~known & (events.kinds != HELD_OUT)), corpus)
    ages = [a["age"] if a else None for a in shard.column("attributes").to_pylist()]
    users = zip(
        _user_features(shard, trained, config),
        pairwise(history.starts),
        pairwise(held_out.starts),
        np.diff(trained.starts).tolist(),
        strict=True,
    )
    for index, (user, (start, end), (first, last), num_trained) in enumerate(users):
        if first == last:
            continue
        yield encoding.example(
            {
                **user,
                **history.timeline(max(start, end - config.window_length), end),
                f.SEEN_MOVIE_IDS: seen.feature(index),
                f.LATER_MOVIE_IDS: later.feature(index),
                f.HELD_OUT_MOVIE_IDS: held_out.movies.feature(first, last),
                f.HELD_OUT_RATINGS: held_out.ratings.feature(first, last),
                f.HELD_OUT_TIMESTAMPS: held_out.timestamps.feature(first, last),
                **slicing.user_features(num_trained, ages[index]),
                **slicing.opinion(asked.ratings[first:last], scale),
                **corpus.slices.features(held_out.movies.codes[first:last].tolist()),
            }
        )


def known_rows(
    shard: pa.RecordBatch, corpus: Corpus, config: ExampleGenConfig
) -> Iterator[bytes]:
    """Yields a row for each user of a shard with events outside of train and eval."""
    events = _Events.of(shard)
    known = _Columns.of(events.of_kind(KNOWN), corpus)
    seen = _MovieLists.of(events.of_kind(KNOWN, SEEN), corpus)
    users = zip(_user_features(shard), pairwise(known.starts), strict=True)
    for index, (user, (start, end)) in enumerate(users):
        if seen.starts[index] == seen.starts[index + 1]:
            continue
        yield encoding.example(
            {
                **user,
                # The served model reads no more of a timeline.
                **known.timeline(max(start, end - config.window_length), end),
                f.SEEN_MOVIE_IDS: seen.feature(index),
            }
        )


def _user_features(
    shard: pa.RecordBatch,
    trained: _Events | None = None,
    config: ExampleGenConfig | None = None,
) -> Iterator[dict[str, bytes]]:
    """Yields, for each user, the features that all rows of the user share.

    Args:
      shard: The users.
      trained: Their training timelines, for the feature `ACTIVITY`; None without it.
      config: The buckets of that feature.
    """
    user_ids = shard.column("user_id").to_pylist()
    attributes = shard.column("attributes").to_pylist()
    lengths = [0] * len(user_ids)
    if trained is not None:
        lengths = np.diff(trained.starts).tolist()
    for user_id, known, length in zip(user_ids, attributes, lengths, strict=True):
        features = {f.USER_ID: bytes_feature([user_id])}
        if config is not None:
            activity = bucket(length, config.activity_bounds)
            features[f.ACTIVITY] = bytes_feature([activity.encode()])
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


_ENCODERS: Final = {
    f.TRAIN_SPLIT: train_rows,
    f.EVAL_SPLIT: eval_rows,
    f.KNOWN_SPLIT: known_rows,
}


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
    shard = chunks.read(staged.shards(split)[index])
    if split == f.CORPUS_SPLIT or corpus is None:
        return corpus_rows(shard)
    return _ENCODERS[split](shard, corpus, config)
