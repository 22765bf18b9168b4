"""How two lists of recommendations for the same user agree."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

PERSISTENCE: Final = 0.9
_CELLS: Final = 1 << 22  # compared at once: 4 MiB


class Agreement(NamedTuple):
    """Of each user, `[users]`.

    Attributes:
      overlap: float, share of the longer list that is in both; 1 if both are empty.
      rank_biased: float, see `rank_biased_overlap`.
      same_first: bool, whether both begin with the same movie.
      same_list: bool, whether both are the same movies in the same order.
    """

    overlap: NDArray[Any]
    rank_biased: NDArray[Any]
    same_first: NDArray[Any]
    same_list: NDArray[Any]


def agreement(first: NDArray[Any], second: NDArray[Any]) -> Agreement:
    """Compares lists.

    Args:
      first: integer `[users, k]`, movies, best first; -1 behind the last one. No movie
        is twice in a list.
      second: The same of another model.
    """
    rows = max(_CELLS // max(first.shape[1] * second.shape[1], 1), 1)
    parts = [
        _agreement(first[start : start + rows], second[start : start + rows])
        for start in range(0, max(len(first), 1), rows)
    ]
    return Agreement(*map(np.concatenate, zip(*parts, strict=True)))


def _agreement(first: NDArray[Any], second: NDArray[Any]) -> Agreement:
    lengths = [(each >= 0).sum(axis=1) for each in (first, second)]
    longer = np.maximum(*lengths)
    shared = shared_prefixes(first, second)
    overlap = np.where(longer > 0, shared[:, -1] / np.maximum(longer, 1), 1.0)
    return Agreement(
        overlap,
        rank_biased_overlap(shared, np.minimum(*lengths), longer),
        first[:, 0] == second[:, 0],
        (first == second).all(axis=1),
    )


def shared_prefixes(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Returns X_d, the number of movies that the first d of both have in common.

    Args:
      first: integer `[users, k]`, -1 behind the last movie.
      second: The same of another model.

    Returns:
      integer `[users, k]`, of the depths 1 to k.
    """
    same = (first[:, :, np.newaxis] == second[:, np.newaxis]) & (
        first[:, :, np.newaxis] >= 0
    )
    user, rank, other_rank = np.nonzero(same)
    found = np.zeros(first.shape, np.int64)
    np.add.at(found, (user, np.maximum(rank, other_rank)), 1)
    return np.cumsum(found, axis=1)


def rank_biased_overlap(
    shared: NDArray[Any], shorter: NDArray[Any], longer: NDArray[Any]
) -> NDArray[Any]:
    r"""Similarity of two rankings, of which the upper ranks count most.

        RBO = (1 - p) / p * (sum_{d=1..l} X_d / d * p^d
                             + sum_{d=s+1..l} X_s (d - s) / (s d) * p^d)
              + ((X_l - X_s) / l + X_s / s) * p^l

    with X_d movies in common among the first d, s and l the lengths of the shorter and
    the longer list, and p the persistence: the probability to look at the next rank. At
    p = .9 the first 10 ranks have 86% of the weight. It extrapolates from what both
    lists show ("RBO_EXT", equation 32). 1 if both lists are empty, 0 if one is.

    Source: Webber, Moffat and Zobel, "A similarity measure for indefinite rankings",
    ACM Transactions on Information Systems 28(4), 2010.

    Args:
      shared: integer `[users, k]`, from `shared_prefixes`.
      shorter: integer `[users]`, length of the shorter list.
      longer: integer `[users]`, length of the longer list.

    Returns:
      float `[users]`, from 0 to 1.
    """
    p = PERSISTENCE
    depth = np.arange(1, shared.shape[1] + 1)
    s, length = np.maximum(shorter, 1), np.maximum(longer, 1)
    users = np.arange(len(shared))
    at_s = np.where(shorter > 0, shared[users, s - 1], 0)
    at_l = np.where(longer > 0, shared[users, length - 1], 0)
    terms = shared / depth
    extra = (at_s / s)[:, np.newaxis] * (depth - s[:, np.newaxis]) / depth
    terms = terms + np.where(depth > s[:, np.newaxis], extra, 0.0)
    terms = np.where(depth <= longer[:, np.newaxis], terms, 0.0)
    total = (1 - p) / p * (terms * p**depth).sum(axis=1)
    total += ((at_l - at_s) / length + at_s / s) * p**length
    return np.where(longer == 0, 1.0, np.where(shorter == 0, 0.0, total))
