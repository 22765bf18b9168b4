"""Ranks and metrics, by the code that evaluates the pipeline's own models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.quality.split import Array, Queries
from components.metrics import MeanMetric, Ranks, metric_named
from trainer.ranking import rank_in_blocks


def ranks_of(scores: Path, queries: Queries) -> Array:
    """Ranks the held-out movies by a peer's scores.

    Args:
      scores: `.npy` file, float32 `[queries, num_movies]`.
      queries: What is ranked.

    Returns:
      int32 `[queries, held_out]`, 0 for padding.
    """
    values = np.load(scores)
    ranking = rank_in_blocks(
        lambda block: block,
        tf.constant(values),
        tf.constant(queries.seen),
        tf.constant(queries.held_out),
        num_candidates=values.shape[1],
        top_k=1,
    )
    return np.asarray(ranking.rank)


def measure(
    ranks: Array, corpus_size: int, names: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
    """Computes metrics, each with its standard error over users.

    Args:
      ranks: int32 `[queries, held_out]`, 0 for padding.
      corpus_size: Movies.
      names: Names of metrics that read ranks alone, see `metric_named`.
    """
    batch = Ranks(ranks, np.full(len(ranks), corpus_size, np.int32))
    measured = {}
    for name in names:
        metric = metric_named(name)
        if isinstance(metric, MeanMetric):
            values = metric.value(batch)
            error = values.std() / np.sqrt(len(values))
            measured[name] = float(values.mean()), float(error)
        else:
            state = metric.add(metric.start(), batch)
            measured[name] = metric.value(state), metric.standard_error(state)
    return measured
