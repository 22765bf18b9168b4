"""Retrieval losses: which candidates a training step compares with, and how.

`train.loss` is one of `LOSSES`, "auto", or the dotted path of a `RetrievalLoss`.
"""

from __future__ import annotations

import logging
from typing import Final

from trainer.dotted_paths import find_class
from trainer.losses.base import LossContext, Retrieval, RetrievalLoss
from trainer.losses.full_softmax import FullSoftmax
from trainer.losses.in_batch_softmax import InBatchSoftmax
from trainer.losses.sampled_softmax import SampledSoftmax

__all__ = [
    "LOSSES",
    "FullSoftmax",
    "InBatchSoftmax",
    "LossContext",
    "Retrieval",
    "RetrievalLoss",
    "SampledSoftmax",
    "make_loss",
]

LOSSES: Final[dict[str, type[RetrievalLoss]]] = {
    "full_softmax": FullSoftmax,
    "sampled_softmax": SampledSoftmax,
    "in_batch_softmax": InBatchSoftmax,
}
# Up to this size, scoring the whole corpus costs less than sampling loses in accuracy.
_LARGEST_FULL_CORPUS: Final = 4096


def make_loss(context: LossContext) -> RetrievalLoss:
    """Makes the loss that `train.loss` names, and logs which one it is.

    "auto" is `FullSoftmax` up to 4,096 movies, and else `SampledSoftmax`.

    Raises:
      UserError: If the class cannot be found.
    """
    name, num_movies = context.config.loss, len(context.num_ratings)
    if name == "auto":
        is_small = num_movies <= _LARGEST_FULL_CORPUS
        name = "full_softmax" if is_small else "sampled_softmax"
    loss: RetrievalLoss = find_class("train.loss", name, LOSSES)(context)
    logging.info("Loss: %s over a corpus of %d movies", name, num_movies)
    return loss
