"""Exact ranking of held-out movies against the whole corpus, in TensorFlow alone.

The function `evaluate` of the exported model ranks by these rules. The popularity
baseline follows them too (`trainer.popularity`):

* The rank of a held-out movie is 1 + the number of other candidates whose score is
  **not smaller**. Ties therefore count against the model (a constant model ranks last),
  and so does a NaN among the other candidates: breaking a model can never improve it.
* Movies that the user has seen are not candidates, unless `exclude_seen` is false.
* A held-out movie that can never be shown ranks last, `num_candidates + 1`: its score
  is NaN, it is outside the corpus, or it is itself excluded as seen.
* The held-out movie's score comes from the same score tensor as the others'. A second
  dot product may differ in the last bit, which would break ties at random.
* The scores of a query that differ by no more than rounding (1e-5 of the largest) are
  ties: whether a constant model's scores are equal to the last bit depends on the
  processor.

Movies are given by their corpus row. Infinite scores compare as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import tensorflow as tf

from trainer.blocks import in_blocks, rows_per_block

# Values in place of a corpus row.
PADDING: Final = -1  # behind the end of a list
OUT_OF_CORPUS: Final = -2  # a movie that is not in the corpus

# With more held-out movies, sorting the scores of a query takes less time and memory
# than comparing each movie with all candidates.
_MAX_COMPARED: Final = 64
# A query whose scores all lie within this share of the largest is not ranked by them.
_ROUNDING: Final = 1e-5


class Ranking(NamedTuple):
    """Ranks and top lists of a batch of queries.

    Attributes:
      rank: int32 `[batch, held_out]`, from 1; 0 for padding.
      top_ids: int32 `[batch, top_k]`, corpus rows, best first; of equal scores the
        lower row first. `PADDING` where fewer candidates have a numeric score.
    """

    rank: tf.Tensor
    top_ids: tf.Tensor


def rank_held_out(
    scores: tf.Tensor,
    seen: tf.Tensor,
    held_out: tf.Tensor,
    top_k: int,
    exclude_seen: bool = True,
) -> Ranking:
    """Ranks held-out movies among all candidates, holding the batch in memory at once.

    Args:
      scores: float32 `[batch, num_candidates]`, higher is better.
      seen: integer `[batch, seen]`, corpus rows; values outside the corpus are ignored.
      held_out: integer `[batch, held_out]`, corpus rows; `PADDING` behind
        the end of a list. Any other value outside the corpus is a movie that is not
        in the corpus.
      top_k: Length of `top_ids`.
      exclude_seen: Whether seen movies are taken out of the candidates.

    Returns:
      The ranks and the best candidates of every query.
    """
    scores = tf.convert_to_tensor(scores, tf.float32)
    seen, held_out = tf.cast(seen, tf.int32), tf.cast(held_out, tf.int32)
    candidate = candidate_mask(tf.shape(scores), seen, exclude_seen)
    return Ranking(
        rank=_ranks(scores, candidate, held_out),
        top_ids=_top_ids(scores, candidate, top_k),
    )


def rank_in_blocks(
    score: Callable[[tf.Tensor], tf.Tensor],
    queries: tf.Tensor,
    seen: tf.Tensor,
    held_out: tf.Tensor,
    *,
    num_candidates: int | tf.Tensor,
    top_k: int,
    exclude_seen: bool = True,
) -> Ranking:
    """Ranks like `rank_held_out`, scoring a block of queries at a time.

    Memory is bounded by `BLOCK_BYTES` or by the need of one query, however large the
    batch: there is never a score matrix of the whole batch.

    Args:
      score: Maps a block of `queries` to float32 `[block, num_candidates]`.
      queries: `[batch, ...]`, inputs of the scoring function, e.g. query embeddings.
      seen: integer `[batch, seen]`, see `rank_held_out`.
      held_out: integer `[batch, held_out]`, see `rank_held_out`.
      num_candidates: Size of the corpus.
      top_k: Length of `top_ids`.
      exclude_seen: Whether seen movies are taken out of the candidates.

    Returns:
      The ranks and the best candidates of every query.
    """
    batch, num_held_out = tf.shape(held_out)[0], tf.shape(held_out)[1]

    def rank_block(rows: slice) -> Ranking:
        return rank_held_out(
            score(queries[rows]), seen[rows], held_out[rows], top_k, exclude_seen
        )

    # Scores, masks and comparisons.
    bytes_per_candidate = 24 + 5 * tf.minimum(num_held_out, _MAX_COMPARED)
    bytes_per_query = tf.cast(num_candidates, tf.int64) * tf.cast(
        bytes_per_candidate, tf.int64
    )
    rank, top_ids = in_blocks(
        rank_block,
        batch,
        rows_per_block(bytes_per_query),
        [(tf.int32, num_held_out), (tf.int32, top_k)],
    )
    return Ranking(rank, top_ids)


def candidate_mask(
    shape: tf.Tensor, seen: tf.Tensor, exclude_seen: bool = True
) -> tf.Tensor:
    """Returns which movies may be recommended to which user.

    Args:
      shape: `[batch, num_candidates]`.
      seen: int32 `[batch, seen]`, corpus rows; values outside the corpus are ignored.
      exclude_seen: Whether seen movies are taken out of the candidates.

    Returns:
      bool `[batch, num_candidates]`.
    """
    is_candidate = tf.fill(shape, True)
    if not exclude_seen:
        return is_candidate
    in_corpus = tf.where((seen >= 0) & (seen < shape[1]))
    row = tf.gather_nd(seen, in_corpus)
    indices = tf.stack([tf.cast(in_corpus[:, 0], tf.int32), row], axis=1)
    return tf.tensor_scatter_nd_update(
        is_candidate, indices, tf.fill(tf.shape(row), False)
    )


def _ranks(
    scores: tf.Tensor, is_candidate: tf.Tensor, held_out: tf.Tensor
) -> tf.Tensor:
    """int32 `[batch, held_out]`: see `Ranking.rank`."""
    num_candidates = tf.shape(scores)[1]
    in_corpus = (held_out >= 0) & (held_out < num_candidates)
    row = tf.where(in_corpus, held_out, 0)
    own_score = tf.gather(scores, row, batch_dims=1)
    is_shown = tf.gather(is_candidate, row, batch_dims=1)
    smaller = _num_smaller(scores, is_candidate, own_score)
    # `candidates` includes the movie itself, which is the 1 of "1 + the others".
    candidates = tf.reduce_sum(tf.cast(is_candidate, tf.int32), axis=1, keepdims=True)
    rank = candidates - tf.where(_is_constant(scores, is_candidate), 0, smaller)
    is_shown &= in_corpus & ~tf.math.is_nan(own_score)
    rank = tf.where(is_shown, rank, num_candidates + 1)
    return tf.where(tf.equal(held_out, PADDING), 0, rank)


def _num_smaller(
    scores: tf.Tensor, is_candidate: tf.Tensor, own_score: tf.Tensor
) -> tf.Tensor:
    """Counts the candidates with a smaller score: int32 `[batch, held_out]`.

    Smaller scores are counted, because a NaN is never smaller: it must count as a
    better candidate.
    """

    def compare() -> tf.Tensor:
        smaller = scores[:, tf.newaxis, :] < own_score[:, :, tf.newaxis]
        smaller &= is_candidate[:, tf.newaxis, :]
        return tf.reduce_sum(tf.cast(smaller, tf.int32), axis=2)

    def search() -> tf.Tensor:
        # Nothing is greater than infinity, so what stands there is never counted.
        counted = is_candidate & ~tf.math.is_nan(scores)
        in_order = tf.sort(tf.where(counted, scores, float("inf")), axis=1)
        return tf.searchsorted(in_order, own_score, side="left")

    few = tf.shape(own_score)[1] <= _MAX_COMPARED
    return tf.cond(few, compare, search)


def _is_constant(scores: tf.Tensor, is_candidate: tf.Tensor) -> tf.Tensor:
    """Returns whether a query's scores differ by no more than rounding: `[batch, 1]`.

    An infinite score makes the answer no.
    """
    compared = is_candidate & ~tf.math.is_nan(scores)
    least = tf.reduce_min(tf.where(compared, scores, float("inf")), 1, True)
    most = tf.reduce_max(tf.where(compared, scores, -float("inf")), 1, True)
    spread, largest = most - least, tf.maximum(tf.abs(most), tf.abs(least))
    return tf.math.is_finite(spread) & (spread <= _ROUNDING * largest)


def _top_ids(scores: tf.Tensor, is_candidate: tf.Tensor, top_k: int) -> tf.Tensor:
    """int32 `[batch, top_k]`: see `Ranking.top_ids`."""
    # Minus infinity marks movies that must not be listed. A candidate's own score of
    # minus infinity is raised to the lowest finite number, so that it comes last.
    listed = tf.where(
        is_candidate & ~tf.math.is_nan(scores),
        tf.maximum(scores, scores.dtype.min),
        -float("inf"),
    )
    found = tf.minimum(top_k, tf.shape(scores)[1])
    values, rows = tf.math.top_k(listed, k=found)
    rows = tf.where(tf.math.is_inf(values) & (values < 0), PADDING, rows)
    return tf.pad(rows, [[0, 0], [0, top_k - found]], constant_values=PADDING)
