"""Answers of one version to the questions of the page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.serving.demo import questions
from pipeline.serving.demo.movies import Known, Movie, text
from pipeline.serving.server.loaded import LoadedVersion
from trainer import features as f
from trainer.serving_contract import (
    CANDIDATE_EMBEDDING,
    CATALOGUE,
    DIVERSITY,
    KNOWN_USER,
    RECOMMEND,
    SIMILAR_MOVIES,
    STORED_TIMELINES,
    STORED_USERS,
    Signature,
)

# What the page cannot do without.
_NEEDED = (RECOMMEND, SIMILAR_MOVIES, CATALOGUE, STORED_USERS, STORED_TIMELINES)
_REASONS = 3  # movies that explain a recommendation
_MOST_COMPARED = 500  # newest movies of a history, of which the reasons are


@dataclass(frozen=True)
class Watched:
    """An event of a history.

    Attributes:
      movie: What was watched.
      rating: On the scale of the version.
      at: Seconds since the epoch, UTC.
    """

    movie: Movie
    rating: float
    at: int


@dataclass(frozen=True)
class Reason:
    """A movie of the history that a recommended one is close to.

    Attributes:
      movie: It.
      rating: What it was rated.
      similarity: Dot product of both embeddings, without biases.
    """

    movie: Movie
    rating: float
    similarity: float


@dataclass(frozen=True)
class Recommended:
    """A movie of an answer.

    Attributes:
      movie: It.
      score: Of the model.
      is_watched: Whether it is in the history.
      reasons: Closest first.
    """

    movie: Movie
    score: float
    is_watched: bool = False
    reasons: Sequence[Reason] = ()


@dataclass(frozen=True)
class Answer:
    """Recommendations of one version.

    Attributes:
      version: Its number.
      labels: Its labels.
      milliseconds: What the model took.
      knows_user: Whether the version has a timeline of the user.
      movies: Best first.
    """

    version: int
    labels: Sequence[str]
    milliseconds: float
    knows_user: bool
    movies: Sequence[Recommended]


def missing_functions(loaded: LoadedVersion) -> list[str]:
    """Returns what an older model lacks of what the page asks it."""
    return [needed.name for needed in _NEEDED if not _has(loaded.model, needed)]


def has_diversity(loaded: LoadedVersion) -> bool:
    """Returns whether the version can put movies that are unlike each other first."""
    return DIVERSITY in loaded.signature(RECOMMEND.name).inputs


def timeline(loaded: LoadedVersion, known: Known, user_id: str) -> list[Watched]:
    """Returns the stored timeline of a user, oldest event first; empty if unknown."""
    stored = STORED_TIMELINES.call(loaded.model, user_id=[user_id])
    columns = (stored[name][0] for name in (f.MOVIE_IDS, f.RATINGS, f.TIMESTAMPS))
    return [
        Watched(known.movies.get(text(movie_id)), _plain(rating), int(at))
        for movie_id, rating, at in zip(*columns, strict=True)
        if movie_id
    ]


def recommend(
    loaded: LoadedVersion, known: Known, asked: questions.Recommend
) -> Answer:
    """Recommends, and says which movies of the history are closest."""
    first_second = int(time.time()) - len(asked.events)
    added = [
        Watched(known.movies.get(event.movie_id), event.rating, first_second + number)
        for number, event in enumerate(asked.events)
    ]
    start = time.perf_counter()
    inputs = _inputs(asked, added)
    if has_diversity(loaded):
        inputs[DIVERSITY] = np.array([asked.diversity], np.float32)
    outputs = loaded.call(RECOMMEND.name, inputs)
    milliseconds = 1000 * (time.perf_counter() - start)
    knows_user = bool(asked.user_id) and knows(loaded, asked.user_id)
    stored = timeline(loaded, known, asked.user_id) if knows_user else []
    found = _movies(known, outputs)
    history = {watched.movie.id: watched for watched in [*stored, *added]}
    reasons = _reasons(loaded, [movie for movie, _ in found], list(history.values()))
    return Answer(
        loaded.version,
        list(loaded.labels),
        milliseconds,
        knows_user,
        [
            Recommended(movie, score, movie.id in history, why)
            for (movie, score), why in zip(found, reasons, strict=True)
        ],
    )


def similar(
    loaded: LoadedVersion, known: Known, movie_id: str, k: int
) -> list[Recommended]:
    """Returns the movies most like one, best first."""
    asked = {f.MOVIE_ID: _strings([movie_id]), "k": np.array([k], np.int32)}
    outputs = loaded.call(SIMILAR_MOVIES.name, asked)
    return [Recommended(movie, score) for movie, score in _movies(known, outputs)]


def knows(loaded: LoadedVersion, user_id: str) -> bool:
    """Returns whether the version has a timeline of the user."""
    outputs = loaded.call(KNOWN_USER.name, {f.USER_ID: _strings([user_id])})
    return bool(outputs["known"][0])


def _has(model: Any, needed: Signature) -> bool:
    return needed.name in model.signatures or hasattr(model, needed.name)


def _inputs(asked: questions.Recommend, added: Sequence[Watched]) -> dict[str, Any]:
    """Returns the inputs of `RECOMMEND` for one row."""
    return {
        f.USER_ID: _strings([asked.user_id]),
        f.MOVIE_IDS: _strings([[watched.movie.id for watched in added]]),
        f.RATINGS: np.array([[watched.rating for watched in added]], np.float32),
        f.TIMESTAMPS: np.array([[watched.at for watched in added]], np.int64),
        "exclude_movie_ids": _strings([[]]),
        "genres": _strings([asked.genres]),
        "first_year": np.array([asked.first_year], np.int32),
        "last_year": np.array([asked.last_year], np.int32),
        "include_seen": np.array([asked.include_seen]),
        "k": np.array([asked.k], np.int32),
    }


def _movies(
    known: Known, outputs: dict[str, NDArray[Any]]
) -> list[tuple[Movie, float]]:
    """Returns movie and score of the only row, without its padding."""
    return [
        (known.movies.get(text(movie_id)), _plain(score))
        for movie_id, score in zip(
            outputs["movie_ids"][0], outputs["scores"][0], strict=True
        )
        if movie_id
    ]


def _reasons(
    loaded: LoadedVersion, movies: Sequence[Movie], history: Sequence[Watched]
) -> list[list[Reason]]:
    """Returns for each movie the closest ones of the history, if they are like it."""
    recent = [watched for watched in history if watched.movie.is_known]
    recent = recent[-_MOST_COMPARED:]
    if not recent or not movies:
        return [[] for _ in movies]
    asked = [movie.id for movie in (*movies, *(watched.movie for watched in recent))]
    outputs = loaded.call(CANDIDATE_EMBEDDING.name, {f.MOVIE_ID: _strings(asked)})
    # Without the bias, which stands last: it says how popular a movie is, and not what
    # it is like.
    embeddings = outputs["embedding"][:, :-1]
    similarity = embeddings[: len(movies)] @ embeddings[len(movies) :].T
    return [
        [
            Reason(recent[column].movie, recent[column].rating, _plain(row[column]))
            for column in np.argsort(-row, kind="stable")[: _REASONS + 1]
            if row[column] > 0 and recent[column].movie.id != movie.id
        ][:_REASONS]
        for movie, row in zip(movies, similarity, strict=True)
    ]


def _strings(values: Sequence[Any]) -> NDArray[Any]:
    """Returns text as TensorFlow takes it, also where a list is empty."""
    shape = (len(values), len(values[0])) if isinstance(values[0], list) else (-1,)
    flat = np.array(values, object).reshape(shape)
    encoded = [value.encode(errors="surrogateescape") for value in flat.flat]
    return np.array(encoded, object).reshape(flat.shape)


def _plain(value: Any) -> float:
    """Returns a float32 with the digits that it has: 3.7 and not 3.700000047683716."""
    return float(str(value))
