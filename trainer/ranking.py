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
# Scores of a group of which the best are searched only if its maximum is among the
# best maxima. In a small corpus that takes longer than to sort all scores.
_GROUP: Final = 128
_MIN_GROUPED: Final = 1 << 15
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
    # A sum is one pass over the scores; to look for NaN in what follows takes ten.
    return Ranking(
        *tf.cond(
            tf.math.is_finite(tf.reduce_sum(scores)),
            lambda: _rank_finite(scores, candidate, held_out, top_k),
            lambda: _rank_any(scores, candidate, held_out, top_k),
        )
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


def _rank_finite(
    scores: tf.Tensor, is_candidate: tf.Tensor, held_out: tf.Tensor, length: int
) -> Ranking:
    """Ranks by finite scores, of which none needs to be looked for."""
    num_candidates = tf.shape(scores)[1]
    # What is excluded is smaller than any candidate.
    listed = tf.where(is_candidate, scores, -float("inf"))
    best, top_ids = _best(listed, length)
    in_corpus = (held_out >= 0) & (held_out < num_candidates)
    own_score = tf.gather(listed, tf.where(in_corpus, held_out, 0), batch_dims=1)
    rank = num_candidates - _num_smaller(listed, own_score)
    rank = tf.cond(
        tf.reduce_all(_differ(best)),
        lambda: rank,
        lambda: tf.where(
            _is_constant(scores, is_candidate), _num_candidates(is_candidate), rank
        ),
    )
    is_shown = in_corpus & tf.math.is_finite(own_score)
    return Ranking(_placed(rank, held_out, is_shown, num_candidates), top_ids)


def _rank_any(
    scores: tf.Tensor, is_candidate: tf.Tensor, held_out: tf.Tensor, length: int
) -> Ranking:
    """Ranks by scores that may be infinite or NaN."""
    num_candidates = tf.shape(scores)[1]
    in_corpus = (held_out >= 0) & (held_out < num_candidates)
    row = tf.where(in_corpus, held_out, 0)
    own_score = tf.gather(scores, row, batch_dims=1)
    counted = is_candidate & ~tf.math.is_nan(scores)
    # Smaller scores are counted, because a NaN is never smaller: it must count as a
    # better candidate. Nothing is greater than infinity, which is never counted.
    smaller = _num_smaller(tf.where(counted, scores, float("inf")), own_score)
    smaller = tf.where(_is_constant(scores, is_candidate), 0, smaller)
    # The candidates include the movie itself, which is the 1 of "1 + the others".
    rank = _num_candidates(is_candidate) - smaller
    is_shown = tf.gather(is_candidate, row, batch_dims=1)
    is_shown &= in_corpus & ~tf.math.is_nan(own_score)
    # Minus infinity marks movies that must not be listed. A candidate's own score of
    # minus infinity is raised to the lowest finite number, so that it comes last.
    raised = tf.maximum(scores, scores.dtype.min)
    _, top_ids = _best(tf.where(counted, raised, -float("inf")), length)
    return Ranking(_placed(rank, held_out, is_shown, num_candidates), top_ids)


def _placed(
    rank: tf.Tensor, held_out: tf.Tensor, is_shown: tf.Tensor, num_candidates: tf.Tensor
) -> tf.Tensor:
    """Ranks what can never be shown last, and padding 0."""
    rank = tf.where(is_shown, rank, num_candidates + 1)
    return tf.where(tf.equal(held_out, PADDING), 0, rank)


def _num_candidates(is_candidate: tf.Tensor) -> tf.Tensor:
    """int32 `[batch, 1]`."""
    return tf.reduce_sum(tf.cast(is_candidate, tf.int32), axis=1, keepdims=True)


def _num_smaller(scores: tf.Tensor, own_score: tf.Tensor) -> tf.Tensor:
    """Counts the scores, none of them NaN, that are smaller: int32 as `own_score`."""

    def compare() -> tf.Tensor:
        smaller = scores[:, tf.newaxis, :] < own_score[:, :, tf.newaxis]
        return tf.reduce_sum(tf.cast(smaller, tf.int32), axis=2)

    def search() -> tf.Tensor:
        return tf.searchsorted(tf.sort(scores, axis=1), own_score, side="left")

    return tf.cond(tf.shape(own_score)[1] <= _MAX_COMPARED, compare, search)


def _differ(best: tf.Tensor) -> tf.Tensor:
    """Returns for which queries the best scores alone show that not all are equal.

    For the greatest score `m`, the least `l` and any other score `s`, `m - s` is not
    more than `m - l`, and no score is larger than `|m| + m - l`. So `m - s > 2 r |m|`
    implies `m - l > r max(|m|, |l|)` for a small `r`: the opposite of `_is_constant`.

    Args:
      best: `[batch, k]`, descending; -inf where there are fewer candidates.

    Returns:
      bool `[batch, 1]`.
    """
    most = best[:, :1]
    least = tf.reduce_min(tf.where(tf.math.is_finite(best), best, most), 1, True)
    return most - least > 2 * _ROUNDING * tf.abs(most)


def _is_constant(scores: tf.Tensor, is_candidate: tf.Tensor) -> tf.Tensor:
    """Returns whether a query's scores differ by no more than rounding: `[batch, 1]`.

    An infinite score makes the answer no.
    """
    compared = is_candidate & ~tf.math.is_nan(scores)
    least = tf.reduce_min(tf.where(compared, scores, float("inf")), 1, True)
    most = tf.reduce_max(tf.where(compared, scores, -float("inf")), 1, True)
    spread, largest = most - least, tf.maximum(tf.abs(most), tf.abs(least))
    return tf.math.is_finite(spread) & (spread <= _ROUNDING * largest)


def _best(listed: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best scores, -inf where there is none, and `Ranking.top_ids`."""
    found = tf.minimum(length, tf.shape(listed)[1])
    best, rows = top_k(listed, found)
    rows = tf.where(best > -float("inf"), rows, PADDING)
    missing = [[0, 0], [0, length - found]]
    return best, tf.pad(rows, missing, constant_values=PADDING)


def top_k(scores: tf.Tensor, k: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
    """Does what `tf.math.top_k` does, which is slow for many columns.

    The k best scores are in the k groups of the largest maxima.

    Args:
      scores: `[batch, columns]`, none of them NaN.
      k: At most the number of columns.

    Returns:
      Scores and int32 columns, both `[batch, k]`, best first; of equal scores the lower
      column first.
    """
    columns = tf.shape(scores)[1]

    def of_all() -> tuple[tf.Tensor, tf.Tensor]:
        return tuple(tf.math.top_k(scores, k))

    def in_groups() -> tuple[tf.Tensor, tf.Tensor]:
        padding = [[0, 0], [0, -columns % _GROUP]]
        padded = tf.pad(scores, padding, constant_values=-float("inf"))
        num_groups = tf.shape(padded)[1] // _GROUP
        batch = tf.shape(scores)[0]
        groups = tf.reshape(padded, [batch, num_groups, _GROUP])
        chosen = tf.minimum(k, num_groups)
        _, group = tf.math.top_k(tf.reduce_max(groups, axis=2), chosen)
        # In order of the columns, so that of equal scores the lower one comes first.
        group = tf.sort(group, axis=1)
        found = tf.gather(groups, group, batch_dims=1)
        best, place = tf.math.top_k(tf.reshape(found, [batch, chosen * _GROUP]), k)
        index = tf.gather(group, place // _GROUP, batch_dims=1) * _GROUP
        # Not in the padding.
        return best, tf.minimum(index + place % _GROUP, columns - 1)

    if (known := scores.shape[1]) is not None:
        return in_groups() if known >= _MIN_GROUPED else of_all()
    return tf.cond(columns >= _MIN_GROUPED, in_groups, of_all)
