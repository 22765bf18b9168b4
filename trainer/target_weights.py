"""How much a target counts in the loss, by the rating that the user gave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.config import TargetWeight
from trainer.movielens import RatingScale

# Of a target that the user did not like, with `train.target_weight=liked`.
_NOT_LIKED: Final = 0.1
_TOLERANCE: Final = 1e-3  # of a step of the scale


class TargetWeights(NamedTuple):
    """A step function of the rating.

    Attributes:
      bounds: float32 `[n]`, ascending, each halfway between two ratings: a training
        step in half precision has rounded them.
      weights: float32 `[n + 1]`, below the first bound, and from each on.
    """

    bounds: NDArray[np.float32]
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, setting: TargetWeight, scale: RatingScale) -> TargetWeights:
        """Returns the function that `train.target_weight` names."""
        steps: Mapping[float, float] = {scale.lowest: 1.0}
        if setting == "liked":
            steps = {scale.lowest: _NOT_LIKED, scale.liked: 1.0}
        elif isinstance(setting, Mapping):
            steps = setting
        bounds = sorted(steps)
        return cls(
            np.array([_below(bound, scale) for bound in bounds], np.float32),
            np.array([0.0, *(steps[bound] for bound in bounds)], np.float32),
        )

    def __call__(self, ratings: tf.Tensor) -> tf.Tensor:
        """Returns the weights of ratings, float32 of the same shape."""
        step = tf.searchsorted(
            self.bounds, tf.reshape(tf.cast(ratings, tf.float32), [-1]), side="right"
        )
        return tf.reshape(tf.gather(self.weights, step), tf.shape(ratings))


def _below(bound: float, scale: RatingScale) -> float:
    """Returns what lies half a step below the least rating from `bound` on."""
    steps = math.ceil((bound - scale.lowest) / scale.step - _TOLERANCE)
    return scale.lowest + (steps - 0.5) * scale.step
