"""Agreement of two lists, against the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.serving.batch.agreement import PERSISTENCE, agreement


def lists(*rows: list[int], k: int) -> np.ndarray:
    return np.array([row + [-1] * (k - len(row)) for row in rows])


def rbo_ext(first: list[int], second: list[int], p: float = PERSISTENCE) -> float:
    """Equation 32 of Webber et al. (2010), as it is written."""
    short, long = sorted((first, second), key=len)
    s, length = len(short), len(long)
    x = [len(set(short[:d]) & set(long[:d])) for d in range(length + 1)]
    total = sum(x[d] / d * p**d for d in range(1, length + 1))
    total += sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, length + 1))
    rest = ((x[length] - x[s]) / length + x[s] / s) * p**length
    return (1 - p) / p * total + rest


def test_equal_and_disjoint_lists() -> None:
    found = agreement(
        lists([1, 2, 3], [1, 2, 3], [], [], k=3),
        lists([1, 2, 3], [4, 5, 6], [], [1], k=3),
    )
    assert found.overlap.tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(found.rank_biased, [1, 0, 1, 0])
    assert found.same_first.tolist() == [True, False, True, False]
    assert found.same_list.tolist() == [True, False, True, False]


def test_an_example_by_hand() -> None:
    found = agreement(lists([1, 2], k=2), lists([2, 1], k=2))
    assert found.overlap.tolist() == [1]
    # X_1 = 0, X_2 = 2: (1 - p) / p * p^2 + p^2 = p.
    np.testing.assert_allclose(found.rank_biased, [PERSISTENCE])
    assert not found.same_first[0]


@pytest.mark.parametrize("k", [1, 2, 7, 30])
def test_random_lists_of_any_length_agree_with_the_definitions(k: int) -> None:
    rng = np.random.default_rng(k)
    first, second = (
        [rng.permutation(40)[: rng.integers(1, k + 1)].tolist() for _ in range(200)]
        for _ in range(2)
    )
    found = agreement(lists(*first, k=k), lists(*second, k=k))
    pairs = list(zip(first, second, strict=True))
    np.testing.assert_allclose(found.rank_biased, [rbo_ext(a, b) for a, b in pairs])
    expected = [len(set(a) & set(b)) / max(len(a), len(b)) for a, b in pairs]
    np.testing.assert_allclose(found.overlap, expected)
    assert found.rank_biased.min() >= 0
    assert found.rank_biased.max() <= 1 + 1e-9
