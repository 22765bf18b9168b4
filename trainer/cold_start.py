"""Embeds movies that nobody has rated yet as their attributes suggest."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import features as f
from trainer.config import ModelConfig, TrainerConfig
from trainer.context import CandidateFeatures
from trainer.input_pipeline import Columns, take_rows
from trainer.model import TwoTowerModel
from trainer.windows import make_windows

Floats = NDArray[np.float64]

# Below it there is little to learn from.
_FEWEST_RATED: Final = 20
# Bounds of what is computed: time grows with the cube of the first.
_MOST_RATED: Final = 2048
_PORTION: Final = 4096
_MOST_WINDOWS: Final = 64
_MOST_QUERIES: Final = 1024
_PENALTIES: Final = (0.3, 1.0, 3.0, 10.0, 30.0)


def embed_corpus(
    model: TwoTowerModel,
    movies: CandidateFeatures,
    train: Columns,
    config: TrainerConfig,
) -> NDArray[np.float32]:
    """Embeds all movies, those without ratings by kernel ridge regression.

    The candidate tower learns attributes only as far as they help with the movies that
    are often watched. So what it says of a movie without ratings is better learned from
    its embeddings of the others, each counted once: an attribute-to-feature mapping
    (Gantner et al. 2010, "Learning attribute-to-feature mappings for cold-start
    recommendations").

    A movie without ratings is taken for new: as likely to be watched as others of its
    kind, and not for one that was on offer and that nobody wanted.

    Args:
      model: A trained model.
      movies: Attributes of the corpus, and which movies have ratings.
      train: The train split, some of whose rows make queries: see `_missing_odds`.
      config: What the Trainer was given.

    Returns:
      `[num_movies + 1, width]`, the unknown movie last. Those with ratings are the
      candidate tower's; so are all where `model.unrated_movies` says so, and where
      there is no attribute or hardly any rating.
    """
    embeddings: NDArray[np.float32] = np.array(model.embed_all_movies(), np.float32)
    is_rated = movies.is_rated[: movies.num_movies]
    rated, unrated = np.flatnonzero(is_rated), np.flatnonzero(~is_rated)
    too_few = len(rated) < _FEWEST_RATED or not len(unrated)
    if too_few or not _regresses(config.model):
        return embeddings
    rng = np.random.default_rng(0)
    rated = np.sort(rng.permutation(rated)[:_MOST_RATED])
    attributes = set(config.model.movie_features)
    similarities = similarity(movies, attributes, rated, rated)
    if not similarities.any():
        return embeddings
    known = embeddings[rated].astype(np.float64)
    regression = _regress(similarities, known)
    for start in range(0, len(unrated), _PORTION):
        rows = unrated[start : start + _PORTION]
        towards = similarity(movies, attributes, rows, rated)
        embeddings[rows] = towards @ regression.weights + known.mean(axis=0)
    temperature = config.train.temperature
    queries = _some_queries(model, train, config.window_length, rng)
    odds = _missing_odds(queries / temperature, known, regression.left_out)
    embeddings[unrated, -1] += temperature * odds
    logging.info("Embedded %d movies without ratings by attributes", len(unrated))
    return embeddings


def _regresses(config: ModelConfig) -> bool:
    """A tower of one's own may know better what an unrated movie is."""
    chosen = config.unrated_movies
    return chosen == "regression" or (
        chosen == "auto" and config.candidate_tower == "default"
    )


def similarity(
    movies: CandidateFeatures,
    attributes: Collection[str],
    left: NDArray[Any],
    right: NDArray[Any],
) -> Floats:
    """How alike movies are: a kernel, `[left, right]`.

    It is the sum of the cosine of the genres, of a bell curve of the years (standard
    deviation: one year), of the product of both, and of the cosine of the title words
    by TF-IDF, those outside the vocabulary as one; of those that are among the
    attributes.
    """
    terms = [np.zeros((len(left), len(right)))]
    if "genres" in attributes:
        terms.append(_cosine(*(movies.genre_weights[rows] for rows in (left, right))))
    if {"year", "decade"} & set(attributes):
        years = movies.year_index.astype(np.float64)
        bell = np.exp(-((years[left, None] - years[None, right]) ** 2) / 2)
        bell *= (years[left, None] > 0) == (years[None, right] > 0)
        terms += [bell, *(bell * term for term in terms[1:])]
    if "title" in attributes:
        terms.append(_cosine(*(_tf_idf(movies, rows) for rows in (left, right))))
    return np.sum(terms, axis=0)


def _cosine(left: NDArray[Any], right: NDArray[Any]) -> Floats:
    """Cosines of the rows, 0 with a row of zeros: `[left, right]`."""
    units = []
    for rows in (left, right):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        units.append(rows.astype(np.float64) / np.where(lengths > 0, lengths, 1))
    cosines: Floats = units[0] @ units[1].T
    return cosines


def _tf_idf(movies: CandidateFeatures, rows: NDArray[Any]) -> Floats:
    """Words of titles, weighted by how few titles have them: `[rows, words]`."""
    tokens, num_words = movies.title_tokens, movies.num_title_tokens
    # The whole corpus by all words would be gigabytes.
    title, place = np.nonzero(tokens >= 0)
    words = np.unique(title * num_words + tokens[title, place]) % num_words
    frequency = np.maximum(np.bincount(words, minlength=num_words), 1)
    row, place = np.nonzero(tokens[rows] >= 0)
    found = np.zeros((len(rows), num_words))
    found[row, tokens[rows][row, place]] = 1
    return found * np.log(movies.num_movies / frequency)


class _Regression(NamedTuple):
    """A kernel ridge regression.

    Attributes:
      weights: `[n, width]`; a prediction is the mean plus similarities times these.
      left_out: `[n, width]`, what is predicted for each when it is left out.
    """

    weights: Floats
    left_out: Floats


def _regress(similarities: Floats, values: Floats) -> _Regression:
    """Fits with the penalty whose error is least when each movie is left out.

    With `A = (K + penalty I)^-1` and weights `A y`, the error of the one that is left
    out is `(A y)_i / A_ii` (Rasmussen & Williams 2006, equation 5.12).

    Args:
      similarities: Kernel matrix, `[n, n]`.
      values: `[n, width]`.
    """
    centred = values - values.mean(axis=0)
    scales, vectors = np.linalg.eigh(similarities)
    turned = vectors.T @ centred

    def fit(penalty: float) -> tuple[Floats, Floats]:
        inverse = 1 / (np.maximum(scales, 0) + penalty)
        weights = vectors @ (inverse[:, None] * turned)
        return weights, weights / (vectors**2 @ inverse)[:, None]

    fits = [fit(penalty) for penalty in _PENALTIES]
    weights, errors = min(fits, key=lambda found: float(np.square(found[1]).sum()))
    return _Regression(weights, left_out=values - errors)


def _some_queries(
    model: TwoTowerModel, train: Columns, length: int, rng: np.random.Generator
) -> Floats:
    """Embeds the queries of some windows: `[n, width]`."""
    drawn = rng.permutation(len(train[f.NUM_CONTEXT]))[:_MOST_WINDOWS]
    windows = make_windows(take_rows(train, drawn), length)
    batch = {name: tf.constant(column) for name, column in windows._asdict().items()}
    queries = np.array(model(batch, training=False).queries, np.float64)
    return rng.permutation(queries)[:_MOST_QUERIES]


def _missing_odds(queries: Floats, known: Floats, foretold: Floats) -> float:
    """What to add to predicted logits, so that they take their share of the softmax.

    A prediction is a mean, and the exponential of a mean is below the mean of
    exponentials: a movie that may be a success or not would be ranked as a failure.

    Args:
      queries: `[n, width]`.
      known: `[movies, width]`, embeddings of rated movies.
      foretold: `[movies, width]`, what was predicted for the same.

    Returns:
      The mean over queries of `log(sum(exp(known))) - log(sum(exp(foretold)))`.
    """
    log_totals = [
        tf.reduce_logsumexp(queries @ embeddings.T, axis=1)
        for embeddings in (known, foretold)
    ]
    return float(tf.reduce_mean(log_totals[0] - log_totals[1]))
