"""Measures a model on the span after the one that it was trained on."""

from __future__ import annotations

import collections
import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.warm_start.spans import Edition, Span
from pipeline.config import PipelineConfig
from trainer.cold_start import embed_corpus
from trainer.model import TwoTowerModel, embed_events
from trainer.ranking import OUT_OF_CORPUS, PADDING, Ranking, rank_held_out
from trainer.towers import Timelines

_CUTOFF = 10
_TARGETS_PER_USER = 20
_BATCH = 256


def measure(
    model: TwoTowerModel,
    span: Span,
    until: int,
    edition: Edition,
    config: PipelineConfig,
) -> dict[str, tuple[float, float]]:
    """Returns recall@10 and NDCG@10 of each user with events after the span.

    Each event is a query of its own: all that the user did before it is the history,
    also what they did after the span, as when the model is served. Of a user with more
    events than `_TARGETS_PER_USER`, so many at equal distances count. A movie that is
    not in the corpus of the span is never found.

    Args:
      model: Trained on the span.
      span: The span.
      until: First second after the next span.
      edition: All events.
      config: The configuration.
    """
    data = span.data
    table = embed_corpus(
        model, data.corpus.features, data.train, config.trainer_config()
    )
    embeddings = tf.constant(table)
    queries = _queries(edition, span.end, until)
    ranks: dict[str, list[int]] = collections.defaultdict(list)
    for start in range(0, len(queries), _BATCH):
        block = np.array(queries[start : start + _BATCH]).T
        found = rank_events(model, embeddings, block, span, edition).rank[:, 0]
        for user, rank in zip(block[0], found, strict=True):
            ranks[edition.users[user].decode()].append(int(rank))
    return {user: _metrics(np.array(of_user)) for user, of_user in ranks.items()}


def _queries(edition: Edition, start: int, until: int) -> list[tuple[int, int]]:
    """Returns user and event of each query."""
    events = edition.events
    queries = []
    for user, (first, stop) in enumerate(itertools.pairwise(events.starts)):
        times = events.timestamps[first:stop]
        inside = first + np.flatnonzero((times >= start) & (times < until))
        picked = np.linspace(0, len(inside) - 1, _TARGETS_PER_USER).astype(int)
        queries += [
            (user, int(e)) for e in (np.unique(inside[picked]) if len(inside) else ())
        ]
    return queries


def rank_events(
    model: TwoTowerModel,
    embeddings: tf.Tensor,
    block: Any,
    span: Span,
    edition: Edition,
    *,
    top_k: int = 1,
) -> Ranking:
    """Ranks each query's event; `block` is users and events, `[2, n]`."""
    users, queries = block
    events, rows, length = edition.events, span.rows, span.window_length
    known = [_before(edition, *query, rows) for query in block.T]
    movies = np.full((len(users), length), PADDING, np.int32)
    ratings = np.full(movies.shape, PADDING, np.float32)
    times = np.zeros(movies.shape, np.int64)
    seen = np.full((len(users), 1 + max(map(len, known))), PADDING, np.int32)
    for i, before in enumerate(known):
        newest = before[-length:]
        movies[i, : len(newest)] = rows[events.movies[newest]]
        ratings[i, : len(newest)] = events.ratings[newest]
        times[i, : len(newest)] = events.timestamps[newest]
        seen[i, : len(before)] = rows[events.movies[before]]
    held_out = rows[events.movies[queries]][:, None]
    held_out = np.where(held_out >= 0, held_out, OUT_OF_CORPUS).astype(np.int32)
    timelines = Timelines(
        tf.constant(span.user_rows[users]),
        tf.constant(edition.attributes[users], tf.int32),
        embed_events(embeddings, tf.constant(movies), model.embedding_dim),
        tf.constant(ratings),
        tf.constant(times),
    )
    end = (movies >= 0).sum(axis=1)
    positions = np.stack([np.arange(len(users)), end], axis=1).astype(np.int32)
    query = model.query_tower(timelines, tf.constant(positions))
    scores = tf.matmul(query, embeddings[: model.num_movies], transpose_b=True)
    return rank_held_out(scores, tf.constant(seen), tf.constant(held_out), top_k)


def _before(edition: Edition, user: int, event: int, rows: Any) -> Any:
    """Returns the events of a user before one, of movies that the corpus has."""
    before = np.arange(edition.events.starts[user], event)
    return before[rows[edition.events.movies[before]] >= 0]


def _metrics(ranks: Any) -> tuple[float, float]:
    """Returns recall and NDCG of queries with one right answer each."""
    hit = ranks <= _CUTOFF
    return float(hit.mean()), float((hit / np.log2(ranks + 1)).mean())
