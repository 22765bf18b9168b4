"""Cold start: embeds movies without ratings by their attributes."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trainer import features as f
from trainer.config import TrainerConfig
from trainer.context import CandidateFeatures
from trainer.input_pipeline import Columns, take_rows
from trainer.model import TwoTowerModel
from trainer.windows import make_windows

Floats = NDArray[np.float64]

# With fewer rated movies there is too little to learn from.
_MIN_RATED: Final = 20
# The regression takes time that grows with the cube of this number of movies.
_MAX_RATED: Final = 2048
_CHUNK: Final = 4096
_MAX_WINDOWS: Final = 64
_MAX_QUERIES: Final = 1024
_PENALTIES: Final = (0.3, 1.0, 3.0, 10.0, 30.0)
# The movies of a query that count as the best: a share of a small corpus, a number of a
# larger one. With fewer of them new movies take places of better ones in a list of ten,
# with more they hardly ever come into it.
_BEST_SHARE: Final = 0.04
_MOST_BEST: Final = 70


def embed_corpus(
    model: TwoTowerModel,
    movies: CandidateFeatures,
    train: Columns,
    config: TrainerConfig,
) -> NDArray[np.float32]:
    """Embeds all movies, those without ratings by kernel ridge regression.

    The candidate tower learns attributes mostly from the movies that are watched often.
    The regression instead learns from its embeddings of all rated movies, each counted
    once, how to embed a movie by its attributes: an attribute-to-feature mapping
    (Gantner et al. 2010, "Learning attribute-to-feature mappings for cold-start
    recommendations").

    A movie without ratings is assumed to be new: as likely to be watched as similar
    movies, and not one that was available and that nobody wanted.

    Args:
      model: A trained model.
      movies: Attributes of the corpus, and which movies have ratings.
      train: The train split, which provides queries for `_score_correction`.
      config: What the Trainer was given.

    Returns:
      `[num_movies + 1, width]`, the unknown movie last. Movies with ratings have the
      embeddings of the candidate tower. So do all others if `model.unrated_movies`
      asks for it, if there are no attributes, or if too few movies have ratings.
    """
    embeddings: NDArray[np.float32] = np.array(model.embed_all_movies(), np.float32)
    is_rated = movies.is_rated[: movies.num_movies]
    rated, unrated = np.flatnonzero(is_rated), np.flatnonzero(~is_rated)
    # By default not with a custom tower, which may embed unrated movies better.
    chosen, tower = config.model.unrated_movies, config.model.candidate_tower
    by_tower = chosen == "tower" or (chosen == "auto" and tower != "default")
    if by_tower or len(rated) < _MIN_RATED or not len(unrated):
        return embeddings
    rng = np.random.default_rng(0)
    rated = np.sort(rng.permutation(rated)[:_MAX_RATED])
    attributes = set(config.model.movie_features)
    similarities = similarity(movies, attributes, rated, rated)
    if not similarities.any():
        return embeddings
    known = embeddings[rated].astype(np.float64)
    weights, left_out = _regress(similarities, known)
    for start in range(0, len(unrated), _CHUNK):
        rows = unrated[start : start + _CHUNK]
        similar = similarity(movies, attributes, rows, rated)
        embeddings[rows] = similar @ weights + known.mean(axis=0)
    queries = _sample_queries(model, train, config.window_length, rng)
    share = min(_BEST_SHARE, _MOST_BEST / is_rated.sum())
    embeddings[unrated, -1] += _score_correction(queries, known, left_out, share)
    logging.info("Embedded %d movies without ratings by attributes", len(unrated))
    return embeddings


def similarity(
    movies: CandidateFeatures,
    attributes: Collection[str],
    left: NDArray[Any],
    right: NDArray[Any],
) -> Floats:
    """Computes how similar movies are: a kernel, `[left, right]`.

    It is the sum of the cosine of the genres, a Gaussian of the difference in years
    (standard deviation: one year), the product of both, and the cosine of the title
    words weighted by TF-IDF, where words outside the vocabulary count as one word.
    Terms whose attribute is not in `attributes` are left out.
    """
    terms = [np.zeros((len(left), len(right)))]
    if "genres" in attributes:
        terms.append(_cosine(*(movies.genre_weights[rows] for rows in (left, right))))
    if {"year", "decade"} & set(attributes):
        years = movies.year_index.astype(np.float64)
        gaussian = np.exp(-((years[left, None] - years[None, right]) ** 2) / 2)
        gaussian *= (years[left, None] > 0) == (years[None, right] > 0)
        terms += [gaussian, *(gaussian * term for term in terms[1:])]
    if "title" in attributes:
        terms.append(_cosine(*(_tf_idf(movies, rows) for rows in (left, right))))
    return np.sum(terms, axis=0)


def _cosine(left: NDArray[Any], right: NDArray[Any]) -> Floats:
    """Returns cosines of the rows, 0 for a row of zeros: `[left, right]`."""
    units = []
    for rows in (left, right):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        units.append(rows.astype(np.float64) / np.where(lengths > 0, lengths, 1))
    cosines: Floats = units[0] @ units[1].T
    return cosines


def _tf_idf(movies: CandidateFeatures, rows: NDArray[Any]) -> Floats:
    """Weights the words of titles by TF-IDF: `[rows, words]`."""
    tokens, num_words = movies.title_tokens, movies.num_title_tokens
    # A matrix of the whole corpus by all words would take gigabytes.
    title, column = np.nonzero(tokens >= 0)
    words = np.unique(title * num_words + tokens[title, column]) % num_words
    frequency = np.maximum(np.bincount(words, minlength=num_words), 1)
    row, column = np.nonzero(tokens[rows] >= 0)
    found = np.zeros((len(rows), num_words))
    found[row, tokens[rows][row, column]] = 1
    return found * np.log(movies.num_movies / frequency)


def _regress(similarities: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Fits with the smallest penalty whose leave-one-out error is a minimum.

    With `A = (K + penalty I)^-1` and weights `A y`, the leave-one-out error of movie
    `i` is `(A y)_i / A_ii` (Rasmussen & Williams 2006, equation 5.12).

    Args:
      similarities: Kernel matrix, `[n, n]`.
      values: `[n, width]`.

    Returns:
      Weights `[n, width]`: a prediction is the mean plus similarities times these; and
      `[n, width]`, the prediction for each movie from all the others.
    """
    centred = values - values.mean(axis=0)

    # Not by one decomposition into eigenvalues, whose threads wait for each other at
    # every row: beside other work, or on fewer processors than it sees, it takes tens
    # of times as long.
    def fit(penalty: float) -> tuple[float, Floats, Floats]:
        inverse = np.linalg.inv(similarities + penalty * np.eye(len(values)))
        weights = inverse @ centred
        errors = weights / np.diag(inverse)[:, None]
        return float(np.square(errors).sum()), weights, values - errors

    best = fit(_PENALTIES[0])
    for penalty in _PENALTIES[1:]:
        following = fit(penalty)
        if following[0] >= best[0]:
            break  # it falls, and then it rises
        best = following
    return best[1:]


def _sample_queries(
    model: TwoTowerModel, train: Columns, length: int, rng: np.random.Generator
) -> Floats:
    """Embeds the queries of a random sample of windows: `[n, width]`."""
    drawn = rng.permutation(len(train[f.USER_INDEX]))[:_MAX_WINDOWS]
    batch = make_windows(take_rows(train, drawn), length).tensors()
    queries = np.array(model(batch, training=False).queries, np.float64)
    return rng.permutation(queries)[:_MAX_QUERIES]


def _score_correction(
    queries: Floats, known: Floats, predicted: Floats, share: float
) -> float:
    """Computes what to add to predicted scores, which are too low as they are.

    A prediction is a mean, and so it is less extreme than what it predicts: a movie
    that may or may not become popular would be ranked as if it never did. With the
    correction, predicted movies are as often among the best of a query as the known
    ones are. Their share of the softmax would say less: label smoothing spreads a part
    of that over all movies alike.

    Args:
      queries: `[n, width]`.
      known: `[movies, width]`, embeddings of rated movies.
      predicted: `[movies, width]`, predictions for the same movies.
      share: Of the known movies: the best of a query.

    Returns:
      The lowest `c` with which as many predicted movies of a query, on average, as
      known ones have the score that ends the best of the known ones.
    """
    best = max(1, round(share * len(known)))
    lowest = np.partition(queries @ known.T, -best, axis=1)[:, -best]
    above = (queries @ predicted.T - lowest[:, None]).ravel()
    number = best * len(queries)
    return -float(np.partition(above, -number)[-number])
