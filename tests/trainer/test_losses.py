"""Losses against oracles in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.losses import FullSoftmax, Retrieval, SampledSoftmax, make_loss

NUM_MOVIES, NUM_TARGETS, DIM = 9, 7, 4


def retrieval(candidate_ids: Any, scale: float = 1.0) -> Retrieval:
    """A step with random embeddings, in double precision."""
    rng = np.random.default_rng(3)
    corpus = rng.normal(size=(NUM_MOVIES, DIM)) * scale
    targets = rng.integers(0, NUM_MOVIES, size=NUM_TARGETS).astype(np.int32)
    ids = np.asarray(candidate_ids)
    return Retrieval(
        queries=tf.constant(rng.normal(size=(NUM_TARGETS, DIM))),
        targets=tf.constant(targets),
        positives=tf.constant(corpus[targets]),
        candidate_ids=tf.constant(ids),
        candidates=tf.constant(corpus[ids]),
    )


def cross_entropy(step: Retrieval) -> np.ndarray:
    """Of each target among all candidates, which must be the whole corpus."""
    logits = step.queries.numpy() @ step.candidates.numpy().T
    right = logits[np.arange(NUM_TARGETS), step.targets]
    return np.log(np.exp(logits).sum(axis=1)) - right


def test_full_softmax_is_the_mean_cross_entropy() -> None:
    loss = FullSoftmax(NUM_MOVIES)
    step = retrieval(loss.candidate_ids())
    np.testing.assert_allclose(loss(step), cross_entropy(step).mean(), rtol=1e-12)


def test_sampled_softmax_is_corrected_and_leaves_out_the_right_movie() -> None:
    counts = np.arange(NUM_MOVIES)
    ids = np.array([1, 8, 8, 3, 5], np.int32)
    step = retrieval(ids)
    weights = (counts + 1.0) ** 0.75
    log_expected = np.log(len(ids) * weights / weights.sum())
    logits = step.queries.numpy() @ step.candidates.numpy().T - log_expected[ids]
    logits[step.targets.numpy()[:, None] == ids] = -np.inf
    right = (step.queries.numpy() * step.positives.numpy()).sum(axis=1)
    total = np.log(np.exp(right) + np.exp(logits).sum(axis=1))
    loss = SampledSoftmax(counts, num_negatives=len(ids), seed=1)
    np.testing.assert_allclose(loss(step), np.mean(total - right), rtol=1e-6)


def test_sampled_softmax_estimates_the_full_one() -> None:
    """With a large sample of skewed frequencies: without logQ it is far off."""
    loss = SampledSoftmax(np.array([500, 200, 90, 9, 5, 4, 3, 2, 1]), 20_000, seed=1)
    exact = cross_entropy(retrieval(np.arange(NUM_MOVIES))).mean()
    assert float(loss(retrieval(loss.candidate_ids()))) == pytest.approx(
        exact, abs=0.02
    )


def test_negatives_are_drawn_by_frequency_and_anew() -> None:
    counts = np.array([999, 0, 0, 0])
    loss = SampledSoftmax(counts, num_negatives=10_000, seed=1)
    first, second = (np.bincount(loss.candidate_ids(), minlength=4) for _ in range(2))
    weights = (counts + 1.0) ** 0.75
    np.testing.assert_allclose(first / 1e4, weights / weights.sum(), atol=0.01)
    assert (first != second).any()


def test_large_scores_are_no_overflow() -> None:
    for loss in (FullSoftmax(NUM_MOVIES), SampledSoftmax(np.ones(NUM_MOVIES), 50, 1)):
        assert np.isfinite(loss(retrieval(loss.candidate_ids(), scale=1e4)))


def test_a_batch_without_targets_costs_nothing() -> None:
    for loss in (FullSoftmax(NUM_MOVIES), SampledSoftmax(np.ones(NUM_MOVIES), 5, 1)):
        ids = loss.candidate_ids()
        nothing = tf.zeros([0, DIM])
        step = Retrieval(
            nothing, tf.zeros([0], tf.int32), nothing, ids, tf.zeros([len(ids), DIM])
        )
        assert float(loss(step)) == 0.0


def test_the_choice_goes_by_the_size_of_the_corpus() -> None:
    assert isinstance(make_loss("auto", np.ones(4096), 10, 1), FullSoftmax)
    assert isinstance(make_loss("auto", np.ones(4097), 10, 1), SampledSoftmax)
    assert isinstance(make_loss("full_softmax", np.ones(9999), 10, 1), FullSoftmax)
    assert isinstance(make_loss("sampled_softmax", np.ones(9), 10, 1), SampledSoftmax)
