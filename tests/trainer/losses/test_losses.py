"""Losses against oracles in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.errors import UserError
from trainer.losses import (
    LOSSES,
    FullSoftmax,
    InBatchSoftmax,
    LossContext,
    Retrieval,
    RetrievalLoss,
    SampledSoftmax,
    make_loss,
    sampled_softmax,
)
from trainer.losses.full_softmax import log_partition

NUM_MOVIES, NUM_TARGETS, DIM = 9, 7, 4
COUNTS = np.array([500, 200, 90, 9, 5, 4, 3, 2, 1])


def make(name: str, counts: Any = COUNTS, **changes: Any) -> RetrievalLoss:
    return make_loss(LossContext(small.train_config(loss=name, **changes), counts))


def retrieval(loss: RetrievalLoss, scale: float = 1.0) -> Retrieval:
    """A step with random embeddings, in double precision."""
    rng = np.random.default_rng(3)
    corpus = rng.normal(size=(NUM_MOVIES, DIM)) * scale
    targets = rng.integers(0, NUM_MOVIES, size=NUM_TARGETS).astype(np.int32)
    ids = loss.candidate_ids(tf.constant(targets)).numpy()
    return Retrieval(
        queries=tf.constant(rng.normal(size=(NUM_TARGETS, DIM))),
        targets=tf.constant(targets),
        positives=tf.constant(corpus[targets]),
        candidate_ids=tf.constant(ids),
        candidates=tf.constant(corpus[ids]),
    )


def logits(step: Retrieval) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of the candidates, of the targets, and where both are one movie."""
    scores = step.queries.numpy() @ step.candidates.numpy().T
    right = (step.queries.numpy() * step.positives.numpy()).sum(axis=1)
    is_right = step.targets.numpy()[:, None] == step.candidate_ids.numpy()
    return scores, right, is_right


def cross_entropy(right: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    return np.log(np.exp(right) + np.exp(negatives).sum(axis=1)) - right


def test_full_softmax_is_the_mean_cross_entropy() -> None:
    loss = make("full_softmax")
    step = retrieval(loss)
    scores, right, _ = logits(step)
    expected = np.log(np.exp(scores).sum(axis=1)) - right
    np.testing.assert_allclose(loss(step), expected.mean(), rtol=1e-12)
    total = make("full_softmax", loss_reduction="sum")(step)
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_the_partition_and_its_gradient_equal_the_formula(scale: float) -> None:
    """Of logits that `exp` takes as they are, and of some that need a shift."""
    step = retrieval(make("full_softmax"))
    operands = [scale * step.queries, step.candidates]
    upstream = tf.range(1.0, NUM_TARGETS + 1, dtype=tf.float64)

    def results(function: Callable[..., tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(operands)
            values = function(*operands)
            total = tf.reduce_sum(upstream * values)
        return [values, *tape.gradient(total, operands)]

    def formula(queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        return tf.reduce_logsumexp(queries @ tf.transpose(candidates), axis=1)

    for result, expected in zip(results(log_partition), results(formula), strict=True):
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-14)


def test_the_partition_needs_its_shift() -> None:
    """Logits of 1000 and -1000: `exp` alone would give infinity, and log(0)."""
    queries, candidates = tf.constant([[1000.0], [-1000.0]]), tf.constant([[1.0]])
    np.testing.assert_array_equal(log_partition(queries, candidates), [1000, -1000])


def test_movies_without_ratings_are_no_candidates() -> None:
    counts = np.where(COUNTS > 2, COUNTS, 0)
    assert make("full_softmax", counts).candidate_ids(None).numpy().tolist() == [
        *range(7)
    ]


def test_scores_are_divided_by_the_temperature() -> None:
    step = retrieval(make("full_softmax"))
    sharp = make("full_softmax", temperature=0.5)
    doubled = step._replace(queries=2 * step.queries)
    np.testing.assert_allclose(sharp(step), make("full_softmax")(doubled), rtol=1e-12)


def test_smoothing_spreads_the_label_over_the_candidates() -> None:
    loss = make("full_softmax", label_smoothing=0.2)
    step = retrieval(loss)
    scores, _, is_right = logits(step)
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    labels = 0.8 * is_right + 0.2 / NUM_MOVIES
    expected = -(labels * log_p).sum(axis=1).mean()
    np.testing.assert_allclose(loss(step), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["full_softmax", "in_batch_softmax"])
def test_only_the_hardest_negatives_count(name: str) -> None:
    loss = make(name, hard_negatives=3, logq_correction=False)
    step = retrieval(loss)
    scores, right, is_right = logits(step)
    negatives = np.sort(np.where(is_right, -np.inf, scores), axis=1)[:, -3:]
    expected = cross_entropy(right, negatives).mean()
    np.testing.assert_allclose(loss(step), expected, rtol=1e-12)


def test_sampled_softmax_is_corrected_and_leaves_out_the_right_movie() -> None:
    loss = make("sampled_softmax", num_negatives=5)
    ids = np.array([1, 8, 8, 3, 5], np.int32)
    step = retrieval(loss)
    corpus = retrieval(make("full_softmax")).candidates.numpy()
    step = step._replace(
        candidate_ids=tf.constant(ids), candidates=tf.constant(corpus[ids])
    )
    weights = COUNTS**0.75
    scores, right, is_right = logits(step)
    scores -= np.log(len(ids) * weights / weights.sum())[ids]
    expected = cross_entropy(right, np.where(is_right, -np.inf, scores))
    np.testing.assert_allclose(loss(step), expected.mean(), rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_gradient_of_sampled_softmax_is_that_of_its_formula(scale: float) -> None:
    """Once without a shift of the logits, and once with one."""
    loss = make("sampled_softmax", num_negatives=6)
    ids = np.array([1, 8, 8, 3, 5, 4], np.int32)
    step = retrieval(loss, scale)
    corpus = retrieval(make("full_softmax"), scale).candidates
    read = step.queries, step.positives, tf.gather(corpus, ids)

    def by_formula(queries: Any, positives: Any, candidates: Any) -> tf.Tensor:
        logits = tf.matmul(queries, candidates, transpose_b=True)
        weights = COUNTS**0.75
        logits -= np.log(len(ids) * weights / weights.sum())[ids]
        is_right = step.targets.numpy()[:, None] == ids
        logits = tf.where(is_right, tf.constant(-np.inf, logits.dtype), logits)
        right = tf.reduce_sum(queries * positives, axis=1)
        both = tf.concat([right[:, None], logits], axis=1)
        return tf.reduce_mean(tf.reduce_logsumexp(both, axis=1) - right)

    def ours(queries: Any, positives: Any, candidates: Any) -> tf.Tensor:
        return loss(
            Retrieval(queries, step.targets, positives, tf.constant(ids), candidates)
        )

    gradients = []
    for function in (ours, by_formula):
        with tf.GradientTape() as tape:
            tape.watch(read)
            value = function(*read)
        gradients.append([value, *tape.gradient(value, read)])
    for found, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_half_precision_has_the_gradient_of_a_sample_of_a_large_corpus() -> None:
    """The partition function of a million movies is no number of half precision."""
    rng = np.random.default_rng(1)
    queries, candidates = rng.normal(0, 0.3, (8, DIM)), rng.normal(0, 0.3, (64, DIM))
    queries[:, -1], candidates[:, -1] = 1, -1
    right = tf.zeros(8)
    log_expected = tf.fill([64], np.float32(np.log(64 / 1e6)))

    def gradients(kind: str) -> Any:
        read = tf.constant(queries, kind), tf.constant(candidates, kind)
        with tf.GradientTape() as tape:
            tape.watch(read)
            hits = tf.zeros((0, 2), tf.int32)
            total = sampled_softmax.log_partition(*read, log_expected, hits, right)
        return tape.gradient(total, read)

    for found, expected in zip(*map(gradients, ("float16", "float32")), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=2e-3)


def test_half_precision_has_the_gradient_of_a_large_corpus() -> None:
    rng = np.random.default_rng(1)
    queries = rng.normal(0, 0.1, (2, DIM))
    candidates = np.abs(rng.normal(1, 0.1, (100_000, DIM)))

    def gradients(kind: str) -> Any:
        read = tf.constant(queries, kind), tf.constant(candidates, kind)
        with tf.GradientTape() as tape:
            tape.watch(read)
            total = tf.reduce_sum(log_partition(*read))
        return tape.gradient(total, read[0])

    np.testing.assert_allclose(gradients("float16"), gradients("float32"), rtol=0.02)


def test_sampled_softmax_estimates_the_full_one() -> None:
    """With a large sample of skewed frequencies: without logQ it is far off."""
    full, sampled = make("full_softmax"), make("sampled_softmax", num_negatives=20_000)
    exact = float(full(retrieval(full)))
    assert float(sampled(retrieval(sampled))) == pytest.approx(exact, abs=0.02)


def test_negatives_are_drawn_by_frequency_at_each_step() -> None:
    counts = np.array([600, 100, 10, 0])
    loss = make("sampled_softmax", counts, num_negatives=10_000)
    nothing = tf.zeros([0], tf.int32)
    first, second = (
        np.bincount(loss.candidate_ids(nothing), minlength=4) for _ in range(2)
    )
    weights = counts**0.75
    assert first[3] == 0  # nobody has rated it: there is nothing to learn of it
    np.testing.assert_allclose(first / 1e4, weights / weights.sum(), atol=0.01)
    assert (first != second).any()


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("removed", [True, False])
def test_in_batch_softmax_compares_with_the_batch(
    corrected: bool, removed: bool
) -> None:
    loss = make(
        "in_batch_softmax", logq_correction=corrected, remove_accidental_hits=removed
    )
    step = retrieval(loss)
    scores, right, is_same = logits(step)
    assert is_same.sum() > NUM_TARGETS  # there are accidental hits
    log_q = np.log(COUNTS / COUNTS.sum())[step.targets.numpy()]
    if corrected:
        scores, right = scores - log_q, right - log_q
    left_out = is_same if removed else np.eye(NUM_TARGETS, dtype=bool)
    expected = cross_entropy(right, np.where(left_out, -np.inf, scores))
    np.testing.assert_allclose(loss(step), expected.mean(), rtol=1e-6)


def test_uniform_negatives_join_the_batch_and_its_frequencies() -> None:
    loss = make("in_batch_softmax", uniform_negatives=5)
    step = retrieval(loss)
    assert step.candidate_ids.shape == (NUM_TARGETS + 5,)
    expected_in = COUNTS / COUNTS.sum() + 5 / NUM_MOVIES / NUM_TARGETS
    log_q = np.log(np.minimum(expected_in, 1))
    scores, right, is_right = logits(step)
    scores -= log_q[step.candidate_ids.numpy()]
    right -= log_q[step.targets.numpy()]
    expected = cross_entropy(right, np.where(is_right, -np.inf, scores))
    np.testing.assert_allclose(loss(step), expected.mean(), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_large_scores_do_not_overflow(name: str) -> None:
    loss = make(name)
    assert np.isfinite(loss(retrieval(loss, scale=1e4)))


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_batch_without_targets_is_zero(name: str) -> None:
    loss = make(name)
    targets, nothing = tf.zeros([0], tf.int32), tf.zeros([0, DIM])
    ids = loss.candidate_ids(targets)
    candidates = tf.zeros([tf.size(ids), DIM])
    step = Retrieval(nothing, targets, nothing, ids, candidates)
    assert float(loss(step)) == 0.0


def test_auto_depends_on_the_size_of_the_corpus() -> None:
    assert isinstance(make("auto", np.ones(4096)), FullSoftmax)
    assert isinstance(make("auto", np.ones(4097)), SampledSoftmax)
    assert isinstance(make("full_softmax", np.ones(9999)), FullSoftmax)
    assert isinstance(make("in_batch_softmax", np.ones(9)), InBatchSoftmax)


def test_a_custom_loss_is_found_by_its_dotted_path() -> None:
    own = make("trainer.losses.full_softmax.FullSoftmax")
    assert isinstance(own, FullSoftmax)
    with pytest.raises(
        UserError, match="train.loss is 'focal', which is not one of full_"
    ):
        make("focal")
    with pytest.raises(
        UserError, match=r"cannot be imported: No module named 'nobody'"
    ):
        make("nobody.knows.It")
