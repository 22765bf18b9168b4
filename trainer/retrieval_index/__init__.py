"""The retrieval index of the served model: which movies score best for a query."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.config import IndexConfig
from trainer.retrieval_index.base import Attributes, Filters, RetrievalIndex
from trainer.retrieval_index.brute_force import BruteForceIndex
from trainer.retrieval_index.fixed_point import FixedPointIvfIndex
from trainer.retrieval_index.ivf import IvfIndex, IvfParameters

__all__ = [
    "Attributes",
    "BruteForceIndex",
    "Filters",
    "FixedPointIvfIndex",
    "IvfIndex",
    "IvfParameters",
    "RetrievalIndex",
    "make_index",
]

# Movies from which on `auto` is `ivf`; see docs/serving.md for how long both take.
_MIN_IVF: Final = 200_000


def make_index(
    embeddings: NDArray[np.float32],
    attributes: Attributes,
    config: IndexConfig,
    seed: int,
) -> RetrievalIndex:
    """Makes the index that the configuration asks for.

    Args:
      embeddings: float32 `[num_movies + 1, dim]`, the unknown movie last.
      attributes: What filters read of the movies.
      config: The settings `serving.index` and following.
      seed: Seed of k-means.
    """
    num_movies = len(embeddings) - 1
    is_large = num_movies >= _MIN_IVF
    if config.index == "brute_force" or (config.index == "auto" and not is_large):
        return BruteForceIndex(embeddings, attributes)
    parameters = IvfParameters.of(num_movies, config.index_leaves, config.index_probes)
    index = FixedPointIvfIndex if config.index_int8 else IvfIndex
    return index(embeddings, attributes, parameters, seed)
