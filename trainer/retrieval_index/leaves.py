"""Divides the corpus into leaves: groups of similar movies of a limited size.

The movies of the largest inner products with a query become its nearest neighbours by
one more coordinate (Bachrach et al. 2014, "Speeding up the Xbox recommender system
using a Euclidean transformation for inner-product spaces"): `sqrt(M^2 - |x|^2)`, where
M is the largest norm, and 0 for the query. K-means divides the points so extended into
cells. A cell with more movies than a leaf may have is halved along its longest axis
until the parts fit. The same seed leads to the same leaves.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

_ITERATIONS: Final = 6
_SAMPLE_PER_CELL: Final = 40
_CHUNK: Final = 8192  # points that are compared with all cells at once
_MAX_CELLS: Final = 4096  # of one k-means; more cells are made in two steps


def euclidean(embeddings: Floats) -> Floats:
    """Adds the coordinate that makes all points equally long.

    Args:
      embeddings: float32 `[num_movies, dim]`, finite.

    Returns:
      float32 `[num_movies, dim + 1]`.
    """
    squares = np.einsum("nd,nd->n", embeddings, embeddings)
    rest = np.sqrt(np.maximum(squares.max(initial=0) - squares, 0))
    return np.concatenate([embeddings, rest[:, np.newaxis]], axis=1)


def make_leaves(embeddings: Floats, cells: int, capacity: int, seed: int) -> list[Rows]:
    """Divides the corpus.

    Args:
      embeddings: float32 `[num_movies, dim]`, finite.
      cells: Number of cells, roughly.
      capacity: Movies of a leaf at most.
      seed: Seed of the choice of the first centroids.

    Returns:
      The corpus rows of each leaf, in ascending order.
    """
    points = euclidean(embeddings)
    rng = np.random.default_rng(seed)
    leaves: list[Rows] = []
    everything = np.arange(len(points), dtype=np.int32)
    for cell in _cells(points, everything, cells, rng):
        _halve(points, cell, capacity, leaves)
    return leaves


def _cells(
    points: Floats, rows: Rows, cells: int, rng: np.random.Generator
) -> list[Rows]:
    """Returns the rows of each cell that is not empty."""
    if cells <= _MAX_CELLS:
        return _k_means(points, rows, cells, rng)
    found = []
    for part in _k_means(points, rows, int(np.sqrt(cells)), rng):
        share = max(round(cells * len(part) / len(rows)), 1)
        found += _cells(points, part, share, rng)
    return found


def _k_means(
    points: Floats, rows: Rows, cells: int, rng: np.random.Generator
) -> list[Rows]:
    """Lloyd's algorithm on a sample, then one assignment of all rows."""
    cells = min(cells, len(rows))
    if cells <= 1:
        return [rows]
    size = min(len(rows), cells * _SAMPLE_PER_CELL)
    sample = points[rng.choice(rows, size, replace=False)]
    centroids = sample[:cells].copy()
    for _ in range(_ITERATIONS):
        nearest = _nearest(sample, centroids)
        order = np.argsort(nearest, kind="stable")
        kept, first = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(sample[order], first, axis=0)
        counts = np.diff(np.append(first, len(order)))
        centroids[kept] = sums / counts[:, np.newaxis].astype(np.float32)
    nearest = _nearest(points, centroids, rows)
    order = np.argsort(nearest, kind="stable")
    bounds = np.flatnonzero(np.diff(nearest[order])) + 1
    return np.split(rows[order], bounds)


def _nearest(points: Floats, centroids: Floats, rows: Rows | None = None) -> Rows:
    """Returns the nearest centroid of each point: int32 `[num_points]`."""
    half = 0.5 * np.einsum("cd,cd->c", centroids, centroids)
    turned = np.ascontiguousarray(centroids.T)
    nearest = np.empty(len(points) if rows is None else len(rows), np.int32)
    for start in range(0, len(nearest), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        some = points[chunk] if rows is None else points[rows[chunk]]
        nearest[chunk] = np.argmax(some @ turned - half, axis=1)
    return nearest


def _halve(points: Floats, rows: Rows, capacity: int, leaves: list[Rows]) -> None:
    """Appends the leaves of a cell, which are of nearly equal sizes."""
    parts = -(-len(rows) // capacity)
    if parts <= 1:
        leaves.append(np.sort(rows))
        return
    centred = points[rows] - points[rows].mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(centred @ axes[:, -1], kind="stable")
    middle = len(rows) * (parts // 2) // parts
    _halve(points, rows[order[:middle]], capacity, leaves)
    _halve(points, rows[order[middle:]], capacity, leaves)
