"""The configuration of training: `TrainConfig`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.config_types import FROZEN, ClassName, Fraction, PositiveInt

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class TrainConfig:
    """How the towers are trained.

    Attributes:
      loss: "full_softmax" over the corpus, "sampled_softmax" over a sample of it,
        "in_batch_softmax" over the batch's targets, "auto" (the first up to 4,096
        movies, else the second), or the dotted path of a `RetrievalLoss`.
      loss_reduction: Whether a step's loss is the mean or the sum over its targets.
      temperature: What scores are divided by before the softmax.
      label_smoothing: Share of the right label that is spread over all candidates.
      num_negatives: Movies in a sample of "sampled_softmax".
      uniform_negatives: Movies of the whole corpus that join those of the batch.
      hard_negatives: How many negatives, the best scored, count for each target; 0 for
        all.
      logq_correction: Whether "in_batch_softmax" is corrected for popularity.
      remove_accidental_hits: Whether "in_batch_softmax" leaves out negatives that are
        the right movie.
      rating_weight: Weight of predicting ratings beside retrieval; 0 for none.
      self_supervised_weight: Weight of telling two masked views of a timeline from
        those of others; 0 for none.
      optimizer: "adam", "adamw", "adagrad", "sgd", or the dotted path of a Keras one.
      learning_rate: Learning rate at the start.
      learning_rate_schedule: Whether it falls along a cosine, to a twentieth.
      weight_decay: Decoupled weight decay of a step, relative to the learning rate.
      epochs: Passes over the train split at most.
      batch_size: Windows (not events) per step.
      validation_queries: Users at most whose last training event is kept from training
        to validate on; 0 for no validation. Each costs training its newest event.
      patience: Epochs without a better recall@10 of these, after which training stops;
        None to go on. The best epoch's weights are kept in any case.
      precision: Numbers that the towers compute with; weights are float32 always.
        "auto" takes mixed_float16 on a GPU that is fast at it, else float32.
      seed: Seed of initial weights, shuffling, dropout and draws.
    """

    loss: ClassName = "auto"
    loss_reduction: Literal["mean", "sum"] = "mean"
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    label_smoothing: Fraction = 0.1
    num_negatives: PositiveInt = 2048
    uniform_negatives: Count = 0
    hard_negatives: Count = 0
    logq_correction: bool = True
    remove_accidental_hits: bool = True
    rating_weight: Weight = 0.0
    self_supervised_weight: Weight = 0.0
    optimizer: ClassName = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 7e-3
    learning_rate_schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: Weight = 0.0
    epochs: PositiveInt = 9
    batch_size: PositiveInt = 64
    validation_queries: Count = 200
    patience: PositiveInt | None = 3
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    seed: int = 42
