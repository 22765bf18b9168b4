"""What each retraining of an edition would train on, without a pipeline run for each.

The events are those of MovieLensExampleGen; attributes are transformed by the functions
of `preprocessing_fn`. For each span they are put together as the pipeline would: the
newest event of every user is held out, rows are the same windows, and users, movies and
title words have the vocabularies of that span, the most frequent first.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.movielens_example_gen import ingest
from components.movielens_example_gen.rows.examples import cut_windows
from components.movielens_example_gen.tables import User
from components.movielens_example_gen.timelines import Events
from pipeline.config import PipelineConfig
from trainer import features as f
from trainer import preprocessing
from trainer.context import CandidateFeatures
from trainer.input_pipeline import Corpus, Ragged, TrainingData
from trainer.ranking import PADDING
from trainer.serving_contract import (
    MOVIE_VOCABULARY,
    TITLE_VOCABULARY,
    USER_VOCABULARY,
)

Array = NDArray[Any]
_DAY_SECONDS = 86_400


class Edition(NamedTuple):
    """A whole edition.

    Attributes:
      users: bytes `[users]`.
      attributes: int64 `[users, 3]`, 0 for unknown.
      events: All events; their movies are rows of `corpus`.
      corpus: All movies, without the indices of their title words.
      words: Of each movie, the words of its title.
    """

    users: Array
    attributes: Array
    events: Events
    corpus: Corpus
    words: list[list[bytes]]


class Span(NamedTuple):
    """One retraining.

    Attributes:
      name: What the span is called.
      start: Its first second: retraining before it knows nothing from then on.
      end: The first second after it.
      data: What is trained on after it.
      rows: int32 `[movies of the edition + 1]`, row of each movie in the corpus of the
        span; -1 for a movie that it does not have.
      user_rows: int32 `[users of the edition]`, embedding of each user; of a new one
        that of unknown users.
      window_length: Events of a history at most.
    """

    name: str
    start: int
    end: int
    data: TrainingData
    rows: Array
    user_rows: Array
    window_length: int


def read_edition(data_dir: Path, config: PipelineConfig) -> Edition:
    """Reads an edition as MovieLensExampleGen does, and transforms its attributes."""
    prepared = ingest.prepare(data_dir, config.data)
    timelines, movies = prepared.timelines, prepared.data.movies
    ids = sorted(movies)
    row = {movie: i for i, movie in enumerate(ids)}
    codes = np.array([row[movie] for movie in timelines.movie_ids], np.int32)
    found = [movies[movie] for movie in ids]
    titles = tf.constant([movie.title for movie in found])
    genres = tf.ragged.constant([list(movie.genres) for movie in found], tf.string)
    years = tf.constant([-1 if m.year is None else m.year for m in found], tf.int64)
    events = timelines.events
    features = CandidateFeatures(
        preprocessing.genre_weights(genres).numpy(),
        preprocessing.year_index(years).numpy().astype(np.int32),
        np.zeros((len(ids), 0), np.int32),
        1,
        np.zeros(len(ids), bool),
    )
    return Edition(
        np.array(timelines.user_ids, bytes),
        _attributes(timelines.user_ids, prepared.data.users),
        dataclasses.replace(events, movies=codes[events.movies]),
        Corpus(
            np.array(ids, bytes),
            titles.numpy(),
            tf.strings.reduce_join(genres, 1, separator="|").numpy(),
            np.zeros(len(ids), np.int64),
            features,
        ),
        preprocessing.title_words(titles).to_list(),
    )


def _attributes(user_ids: Any, users: dict[bytes, User]) -> Array:
    """Returns indices of age, gender and occupation, 0 for unknown: `[users, 3]`."""
    known = [users.get(user) for user in user_ids]
    inputs = {
        f.AGE: tf.constant([user.age if user else -1 for user in known], tf.int64),
        f.GENDER: tf.constant([user.gender if user else "" for user in known]),
        f.OCCUPATION: tf.constant([user.occupation if user else "" for user in known]),
    }
    attributes: Array = preprocessing.user_attributes(inputs).numpy()
    return attributes


def cuts(
    edition: Edition, num_spans: int | None, days: int | None
) -> list[tuple[str, int, int]]:
    """Returns name, start and end of each span: as `two-tower data split-spans` cuts.

    Args:
      edition: The events.
      num_spans: Spans with about equally many events; None to cut by `days`.
      days: Length of a span.
    """
    times = np.sort(edition.events.timestamps)
    if num_spans is not None:
        starts = np.unique(times[np.arange(num_spans) * len(times) // num_spans])
    else:
        length = (days or 1) * _DAY_SECONDS
        first = int(times[0]) // _DAY_SECONDS * _DAY_SECONDS
        starts = first + np.unique((times - first) // length) * length
    ends = np.append(starts[1:], times[-1] + 1)
    names = [
        f"{i} ({np.datetime64(int(end) - 1, 's').astype('datetime64[D]')})"
        for i, end in enumerate(ends.tolist(), start=1)
    ]
    return list(zip(names, starts.tolist(), ends.tolist(), strict=True))


def make_span(
    edition: Edition, cut: tuple[str, int, int], config: PipelineConfig
) -> Span:
    """Makes what a retraining after a span trains on: all events until its end."""
    name, start, end = cut
    events, rule = edition.events, config.data
    is_known = events.timestamps < end
    before = np.concatenate(([0], np.cumsum(is_known)))
    known = np.diff(before[events.starts])  # a user's events are in order of time
    trained = np.where(known >= rule.min_user_ratings, known - rule.holdout, 0)
    users = np.flatnonzero(trained)
    users = users[np.argsort(-trained[users], kind="stable")]
    is_trained = np.zeros(len(events), bool)
    windows: list[tuple[int, int, int, int, int]] = []
    for index, user in enumerate(users):
        first = int(events.starts[user])
        is_trained[first : first + trained[user]] = True
        found = cut_windows(int(trained[user]), rule.window_length, rule.window_stride)
        for number, (a, b, context) in enumerate(found):
            windows.append((index, first + a, first + b, context, number))
    num_movies = len(edition.corpus.movie_ids)
    num_ratings = np.bincount(events.movies[is_trained], minlength=num_movies)
    is_rated = np.bincount(events.movies, minlength=num_movies) > 0
    is_listed = np.bincount(events.movies[is_known], minlength=num_movies) > 0
    order = np.argsort(-num_ratings, kind="stable")
    order = order[(is_listed | ~is_rated)[order]]
    rows = np.full(num_movies + 1, -1, np.int32)
    rows[order] = np.arange(len(order))
    vocabularies = {
        USER_VOCABULARY: edition.users[users],
        MOVIE_VOCABULARY: edition.corpus.movie_ids[order],
    }
    words = [edition.words[i] for i in order]
    count = collections.Counter(word for title in words for word in title)
    tokens = [word for word, _ in count.most_common(config.model.title_tokens)]
    if tokens:
        vocabularies[TITLE_VOCABULARY] = np.array(tokens, bytes)
    train = _train_rows(edition, users, windows, rows)
    corpus = _corpus(edition.corpus, order, num_ratings, words, tokens)
    data = TrainingData(train, corpus, len(users), vocabularies)
    user_rows = np.full(len(edition.users), len(users), np.int32)
    user_rows[users] = np.arange(len(users))
    return Span(name, start, end, data, rows, user_rows, rule.window_length)


def _train_rows(
    edition: Edition,
    users: Array,
    windows: Sequence[tuple[int, int, int, int, int]],
    rows: Array,
) -> dict[str, Any]:
    index, first, stop, context, number = np.array(windows, np.int64).T
    picked = np.concatenate([np.arange(a, b) for a, b in zip(first, stop, strict=True)])
    splits = np.concatenate(([0], np.cumsum(stop - first)))
    events = edition.events
    return {
        f.USER_ID: edition.users[users][index],
        f.USER_INDEX: index,
        f.USER_ATTRIBUTE_INDICES: edition.attributes[users][index],
        f.MOVIE_INDICES: Ragged(rows[events.movies[picked]].astype(np.int64), splits),
        f.RATINGS: Ragged(events.ratings[picked], splits),
        f.TIMESTAMPS: Ragged(events.timestamps[picked], splits),
        f.NUM_CONTEXT: context,
        f.WINDOW_INDEX: number,
    }


def _corpus(
    whole: Corpus,
    order: Array,
    num_ratings: Array,
    words: list[list[bytes]],
    tokens: list[bytes],
) -> Corpus:
    index = {token: i for i, token in enumerate(tokens)}
    width = max(map(len, words)) if tokens else 0
    title_tokens = np.full((len(order) + 1, width), PADDING, np.int32)
    for row, title in enumerate(words if tokens else ()):
        title_tokens[row, : len(title)] = [index.get(w, len(tokens)) for w in title]
    features = whole.features
    return Corpus(
        whole.movie_ids[order],
        whole.titles[order],
        whole.genres[order],
        num_ratings[order],
        CandidateFeatures(
            np.pad(features.genre_weights[order], ((0, 1), (0, 0))),
            np.pad(features.year_index[order], (0, 1)),
            title_tokens,
            len(tokens) + 1,
            np.append(num_ratings[order] > 0, False),
        ),
    )
