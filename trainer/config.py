"""The configuration of the model and of its training: `ModelConfig`, `TrainConfig`.

`TrainerConfig` adds the few other keys that the Trainer reads, and is what crosses into
the step, as JSON. The module also has the types that all configuration classes share.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from trainer.tuning.hyperparameters import by_section

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# An unknown key is an error: it is most likely misspelled.
FROZEN: Final = ConfigDict(extra="forbid")
# The name of a built-in class, or the dotted path of another: "package.module.Class".
ClassName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")
]

MovieFeature = Literal["id", "genres", "decade", "year", "title"]
EventFeature = Literal["rating", "gap"]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class ModelConfig:
    """The two towers.

    Attributes:
      embedding_dim: Width of an embedding of a user or a movie.
      history_encoder: What reads the timeline: "pool", "gru", "attention", "bag" (only
        for the random split), "none", or the dotted path of a `HistoryEncoder`.
      recency_decays: Weights of an event relative to the next newer one, one for each
        recency-weighted pool of "pool".
      encoder_layers: Layers of "gru", blocks of "attention".
      encoder_heads: Heads of "attention".
      encoder_dropout: Dropout rate inside "attention".
      event_features: What is read of an event beside its movie: its rating, the gap in
        time before it.
      user_attributes: Whether age, gender and occupation are read.
      movie_features: What a movie is embedded by.
      title_tokens: Title words with an embedding (the most frequent); 0 for none.
      item_bias: Whether a movie has a bias, as one number of the dot product.
      time_dim: Numbers of the dot product that tell when a movie is watched, against
        the time of the user's last event; 0 for none.
      time_buckets: Periods of equally many events into which time is cut for that.
      hidden_units: Width of the query tower's hidden layer; 0 for the plain sum.
      cross_layers: Cross layers (DCN v2) in both towers; 0 for none.
      dropout: Dropout rate of the query tower's inputs.
      user_dropout: Rate at which training hides who the user is, so that the model
        learns to serve users it has never seen by their history alone.
      movie_dropout: Rate at which training hides which movie a movie is, so that the
        model learns to place by its attributes one that nobody has rated yet.
      unrated_movies: How movies of the corpus without ratings are embedded for serving:
        "regression", from rated movies of like attributes; "tower", as the candidate
        tower embeds their attributes; or "auto", the second with a candidate tower of
        one's own and else the first.
      query_tower: "default", or the dotted path of a `QueryTower`.
      candidate_tower: "default", or the dotted path of a `CandidateTower`.
    """

    embedding_dim: Annotated[int, Field(ge=2, le=4096)] = 64
    history_encoder: ClassName = "pool"
    recency_decays: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.8, 0.95)
    encoder_layers: PositiveInt = 1
    encoder_heads: PositiveInt = 2
    encoder_dropout: Fraction = 0.2
    event_features: tuple[EventFeature, ...] = ()
    user_attributes: bool = True
    movie_features: Annotated[tuple[MovieFeature, ...], Field(min_length=1)] = (
        "id",
        "genres",
        "decade",
        "year",
        "title",
    )
    title_tokens: Annotated[int, Field(ge=0)] = 2000
    item_bias: bool = True
    time_dim: Annotated[int, Field(ge=0, le=1024)] = 0
    time_buckets: PositiveInt = 32
    hidden_units: Annotated[int, Field(ge=0)] = 64
    cross_layers: Annotated[int, Field(ge=0, le=8)] = 0
    dropout: Fraction = 0.5
    user_dropout: Fraction = 0.1
    movie_dropout: Fraction = 0.05
    unrated_movies: Literal["auto", "regression", "tower"] = "auto"
    query_tower: ClassName = "default"
    candidate_tower: ClassName = "default"

    @model_validator(mode="after")
    def _check_heads(self) -> ModelConfig:
        if self.embedding_dim % self.encoder_heads:
            raise ValueError(
                f"embedding_dim is {self.embedding_dim}, which encoder_heads "
                f"({self.encoder_heads}) does not divide"
            )
        return self


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


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class TrainerConfig:
    """Everything that the Trainer reads, so that no other key makes it train again.

    Attributes:
      model: The two towers.
      train: How they are trained.
      dataset: MovieLens edition, which the exported model names.
      window_length: Events of a training window at most.
      top_k: Cut-offs of the metrics; the exported model returns lists of the longest.
      exclude_seen: Whether the exported model's evaluation leaves out seen movies.
      code_hash: Fingerprint of the code: edited code resumes no interrupted training.
    """

    model: ModelConfig
    train: TrainConfig
    dataset: str
    window_length: PositiveInt
    top_k: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    exclude_seen: bool
    code_hash: str = ""

    def with_values(self, values: Mapping[str, Any]) -> TrainerConfig:
        """Returns a copy with other values for some keys of `model` and `train`.

        Args:
          values: Key, such as `train.learning_rate`, to value.

        Raises:
          pydantic.ValidationError: If a value is not allowed, alone or with the others.
        """
        sections = {
            name: dataclasses.replace(getattr(self, name), **changes)
            for name, changes in by_section(values).items()
        }
        return dataclasses.replace(self, **sections)


_Config = TypeVar("_Config")


def to_json(config: Any) -> dict[str, Any]:
    """Turns a configuration object into JSON-like values, to pass it to a step."""
    content: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return content


def from_json(kind: type[_Config], content: Mapping[str, Any]) -> _Config:
    """Rebuilds a configuration object from what `to_json` made of it.

    Raises:
      pydantic.ValidationError: If the content does not fit the class.
    """
    return TypeAdapter(kind).validate_json(json.dumps(content), strict=True)
