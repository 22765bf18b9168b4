"""Ranking by `trainer.ranking` and by TFRS's FactorizedTopK, the same queries.

    uv venv tfrs --python 3.10
    uv pip install --python tfrs/bin/python tensorflow==2.16.2 tf-keras==2.16.0 \
        tensorflow-recommenders 'setuptools<81' 'numpy<2'
    PYTHONPATH=. TF_USE_LEGACY_KERAS=1 tfrs/bin/python benchmarks/factorized_top_k.py

Both give the top 100 of each query and where the held-out movie ranks up to 100. Ours
also gives its rank beyond that and leaves out a hundred seen movies, which
FactorizedTopK cannot. It needs an environment of its own: TFRS is no dependency.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.ranking import rank_in_blocks

DIM, TOP_K, SEEN = 64, 100, 100


def ours(queries: tf.Tensor, movies: tf.Tensor, held_out: tf.Tensor) -> tf.Tensor:
    """Share of queries with the held-out movie among the first ten."""
    size = tf.shape(movies)[0]
    shape = [tf.shape(queries)[0], SEEN]
    seen = tf.random.uniform(shape, maxval=size, dtype=tf.int32, seed=3)
    ranking = rank_in_blocks(
        lambda block: tf.matmul(block, movies, transpose_b=True),
        queries,
        seen,
        held_out[:, tf.newaxis],
        num_candidates=size,
        top_k=TOP_K,
    )
    return tf.reduce_mean(tf.cast(ranking.rank <= 10, tf.float32))  # noqa: PLR2004 - hit rate at 10


def factorized(batch: int) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """FactorizedTopK that takes the corpus in batches of that size."""

    def rank(queries: tf.Tensor, movies: tf.Tensor, held_out: tf.Tensor) -> tf.Tensor:
        corpus = tf.data.Dataset.from_tensor_slices(movies).batch(batch)
        metric = tfrs.metrics.FactorizedTopK(corpus, ks=(1, 5, 10, 50, TOP_K))
        metric.update_state(queries, tf.gather(movies, held_out))
        return metric.result()[2]

    return rank


def main() -> None:
    """Prints queries a second of each, as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--movies", type=int, default=50_000)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    movies = tf.constant(rng.normal(size=(options.movies, DIM)), tf.float32)
    held_out = tf.constant(rng.integers(0, options.movies, options.queries), tf.int32)
    # Near the held-out movie, so that there are hits to find.
    noise = rng.normal(size=(options.queries, DIM))
    queries = tf.gather(movies, held_out) + tf.constant(2 * noise, tf.float32)
    # As in the exported model. FactorizedTopK compiles its own loop.
    compiled = tf.function(ours, autograph=False)
    compiled(queries[:64], movies, held_out[:64])
    result = {**vars(options)}
    for name, rank in (
        ("ours", compiled),
        ("factorized_top_k_128", factorized(128)),
        ("factorized_top_k_4096", factorized(4096)),
    ):
        started = time.monotonic()
        hit_rate = float(rank(queries, movies, held_out))
        seconds = time.monotonic() - started
        result[name] = {
            "queries_per_second": round(options.queries / seconds),
            "hit_rate@10": round(hit_rate, 4),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
