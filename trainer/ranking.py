"""Exact ranking of held-out movies against the whole corpus, in TensorFlow alone.

The `evaluate` signature of the served model ranks by these rules. The popularity
baseline follows them too (`trainer.popularity`):

* The rank of a held-out movie is 1 + the number of other candidates whose score is
  **not smaller**. Ties therefore count against the model (a constant model ranks last),
  and so does a NaN among the other candidates: breaking a model can never improve it.
* Movies that the user has seen are not candidates, unless `exclude_seen` is false.
* A held-out movie that can never be shown ranks last, `num_candidates + 1`: its score
  is NaN, it is outside the corpus, or it is itself excluded as seen.
* The held-out movie's score comes from the same score tensor as the others'. A second
  dot product may differ in the last bit, which would break ties at random.

Movies are given by their corpus row. Infinite scores compare as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import tensorflow as tf

# Values in place of a corpus row.
PADDING: Final = -1  # behind the end of a list
OUT_OF_CORPUS: Final = -2  # a movie that is not in the corpus

# Bytes of the score matrix, the comparison matrix and their temporaries in one block:
# enough for the loop to cost nothing, little beside the 3 GiB that a run takes.
_BLOCK_BYTES: Final = 64 << 20


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

    Memory is bounded by `_BLOCK_BYTES` or by the need of one query, however large the
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
    block = _queries_per_block(num_candidates, num_held_out)
    # The last block may be shorter, so the elements have no common shape.
    arrays = [
        tf.TensorArray(tf.int32, size=0, dynamic_size=True, infer_shape=False)
        for _ in Ranking._fields
    ]

    def rank_block(
        start: tf.Tensor, ranks: tf.TensorArray, top_ids: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.TensorArray]:
        rows = slice(start, tf.minimum(start + block, batch))
        ranking = rank_held_out(
            score(queries[rows]), seen[rows], held_out[rows], top_k, exclude_seen
        )
        index = start // block
        return (
            start + block,
            ranks.write(index, ranking.rank),
            top_ids.write(index, ranking.top_ids),
        )

    # One block runs even for an empty batch: it gives the outputs their width.
    _, ranks, top_ids = tf.while_loop(
        lambda start, *_: tf.logical_or(start < batch, tf.equal(start, 0)),
        rank_block,
        (tf.constant(0), *arrays),
        parallel_iterations=1,
    )
    return Ranking(
        rank=tf.reshape(ranks.concat(), [batch, num_held_out]),
        top_ids=tf.reshape(top_ids.concat(), [batch, top_k]),
    )


def _queries_per_block(
    num_candidates: int | tf.Tensor, num_held_out: tf.Tensor
) -> tf.Tensor:
    """Queries whose scores, masks and comparisons fill a block."""
    bytes_per_candidate = 24 + 5 * tf.cast(num_held_out, tf.int64)
    bytes_per_query = tf.cast(num_candidates, tf.int64) * bytes_per_candidate
    block = _BLOCK_BYTES // tf.maximum(bytes_per_query, 1)
    return tf.cast(tf.clip_by_value(block, 1, 1 << 20), tf.int32)


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
    # Smaller scores are counted, because a NaN is never smaller: it must count as a
    # better candidate.
    smaller = scores[:, tf.newaxis, :] < own_score[:, :, tf.newaxis]
    smaller &= is_candidate[:, tf.newaxis, :]
    # `candidates` includes the movie itself, which is the 1 of "1 + the others".
    candidates = tf.reduce_sum(tf.cast(is_candidate, tf.int32), axis=1, keepdims=True)
    rank = candidates - tf.reduce_sum(tf.cast(smaller, tf.int32), axis=2)
    is_shown &= in_corpus & ~tf.math.is_nan(own_score)
    rank = tf.where(is_shown, rank, num_candidates + 1)
    return tf.where(tf.equal(held_out, PADDING), 0, rank)


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
