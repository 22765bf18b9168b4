"""What a peer's `fit` returns."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.quality.split import Scorer


class Fitted(NamedTuple):
    """A fitted ranker.

    Attributes:
      score: Scores of all movies for some users.
      numbers: Numbers that it has learned: parameters, or what is not 0 in a matrix.
    """

    score: Scorer
    numbers: int
