"""The configuration of the model and of its training: `ModelConfig`, `TrainConfig`.

`TrainerConfig` adds the few other keys that the Trainer reads, and is what crosses into
the step, as JSON. The module also has the types that all configuration classes share.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)
from pydantic.dataclasses import dataclass

from trainer.movielens import RatingScale
from trainer.tuning.hyperparameters import by_section

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# An unknown key is an error: it is most likely misspelled.
FROZEN: Final = ConfigDict(extra="forbid")
# The name of a built-in class, or the dotted path of another: "package.module.Class".
ClassName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")
]


def _check_scale(values: tuple[float, float, float]) -> tuple[float, float, float]:
    if fault := RatingScale(*values).fault():
        raise ValueError(f"rating_scale is {list(values)}: {fault}")
    return values


# Lowest rating, highest rating and step: see `RatingScale`.
Scale = Annotated[tuple[float, float, float], AfterValidator(_check_scale)]
MovieFeature = Literal["id", "genres", "decade", "year", "title"]
EventFeature = Literal["rating", "gap"]
Seconds = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _check_weights(steps: Mapping[float, float]) -> Mapping[float, float]:
    if not any(steps.values()):
        raise ValueError("no rating has a weight above 0")
    return steps


# A named rule, or rating to the weight from that rating on.
TargetWeight = (
    Literal["equal", "liked"]
    | Annotated[Mapping[float, Weight], AfterValidator(_check_weights)]
)
Count = Annotated[int, Field(ge=0)]
# A number of users, or a number that follows from how many there are.
Queries = Literal["auto"] | Count
RequestSize = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class ModelConfig:
    """The two towers.

    An experimental option is tested, but no preset, benchmark or page uses it, and it
    may change.

    Attributes:
      embedding_dim: Width of the embedding of a user or a movie.
      history_encoder: How the timeline is read: "pool", "gru", "attention", "bag" (only
        for the random split), "none", or the dotted path of a `HistoryEncoder`.
      recency_decays: For "pool": one recency-weighted sum for each; the weight of an
        event relative to the next newer one.
      time_scales: For "pool": seconds; one sum for each, by the time since an event.
      last_events: For "pool": how many of the last events have a transformation of
        their own; 0 for none.
      encoder_layers: Layers of "gru", or blocks of "attention". Experimental.
      encoder_heads: Attention heads of "attention". Experimental.
      encoder_dropout: Dropout rate inside "attention". Experimental.
      event_features: What is read of an event beside its movie: its rating, and the gap
        in time before it.
      user_attributes: Whether age, gender and occupation are read.
      movie_features: What a movie is embedded by.
      title_tokens: How many title words have an embedding (the most frequent); 0 for
        none.
      item_bias: Whether each movie has a bias, as one column of the dot product.
      time_dim: Columns of the dot product that match a movie with the time of the
        user's last event; 0 for none.
      time_buckets: Periods of equally many events into which `time_dim` divides time.
        Experimental.
      hidden_units: Width of the query tower's hidden layer; 0 for none; "auto" for 64,
        and 256 from 500,000 ratings of the train split on.
      cross_layers: Cross layers (DCN v2) in both towers; 0 for none.
      dropout: Dropout rate of the query tower's inputs.
      user_dropout: Rate at which training hides the user's id, so that the model learns
        to serve new users by their history.
      movie_dropout: Rate at which training hides a movie's id, so that the model learns
        to embed movies without ratings by their attributes.
      unrated_movies: How movies without ratings are embedded for serving: "regression",
        from rated movies with similar attributes; "tower", by the candidate tower; or
        "auto", which is "tower" with a custom candidate tower and else "regression".
      query_tower: "default", or the dotted path of a `QueryTower`.
      candidate_tower: "default", or the dotted path of a `CandidateTower`.
    """

    embedding_dim: Annotated[int, Field(ge=2, le=4096)] = 64
    history_encoder: ClassName = "pool"
    recency_decays: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.8, 0.95)
    time_scales: tuple[Seconds, ...] = (45.0, 110.0, 800.0)
    last_events: Annotated[int, Field(ge=0, le=64)] = 3
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
    hidden_units: Literal["auto"] | Count = "auto"
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

    An experimental option is tested, but no preset, benchmark or page uses it, and it
    may change.

    Attributes:
      loss: "full_softmax" over the corpus, "sampled_softmax" over a sample of it,
        "in_batch_softmax" over the targets of the batch, "auto" (the first for up to
        4,096 movies, else the second), or the dotted path of a `RetrievalLoss`.
      loss_reduction: Whether the loss of a step is the mean or the sum over targets.
      temperature: Scores are divided by it before the softmax.
      label_smoothing: Share of the label that is spread over all candidates.
      num_negatives: Size of the sample of "sampled_softmax".
      uniform_negatives: For "in_batch_softmax": further negatives, drawn uniformly from
        the corpus.
      hard_negatives: How many negatives, those with the highest scores, count for each
        target; 0 for all.
      logq_correction: Whether "in_batch_softmax" corrects for how often a movie is a
        negative.
      remove_accidental_hits: Whether "in_batch_softmax" leaves out negatives that are
        the target's movie.
      target_weight: How much an event counts as a target: "equal"; "liked", where one
        with a rating below 4 of 5 stars counts a tenth; or ratings to the weights from
        each on, such as {0.5: 0.2, 3: 0.5, 4: 1}, with 0 below the first. "liked" shows
        fewer movies that people rate low, and finds less of what they rate in all.
      rating_weight: Weight of the auxiliary loss that predicts ratings; 0 for none.
      self_supervised_weight: Weight of the auxiliary loss that contrasts two masked
        views of a timeline with those of others; 0 for none.
      optimizer: "adam", "adamw", "adagrad", "sgd", or the dotted path of a Keras
        optimizer.
      learning_rate: Learning rate at the start.
      learning_rate_schedule: "cosine" lets it fall to a twentieth, "constant" keeps it.
      weight_decay: Decoupled weight decay of a step, relative to the learning rate.
        Experimental.
      epochs: Maximum number of passes over the train split.
      batch_size: Windows (not events) per step, on all devices together.
      validation_queries: Maximum number of users whose last training event is held out
        for validation; 0 for no validation; "auto" for a tenth of the users, at least
        50 and at most 5,000, and in a search of the Tuner for a fifth, at least 200
        and at most 5,000. These events are not trained on.
      patience: Training stops after so many epochs in a row that are worse than an
        earlier one beyond noise, by NDCG on these queries; None to train all epochs.
        With the schedule "cosine" only epochs count whose learning rate is below a
        quarter of `learning_rate`. The last weights are kept, unless earlier ones are
        better beyond noise.
      precision: Numeric precision of computation; weights are always float32. "auto" is
        mixed_float16 on a GPU with tensor cores, and else float32.
      seed: Seed of initial weights, shuffling, dropout and sampling.
      warm_start: Whether training starts from the live model if that was trained on
        other data: "auto", if it can be continued; "always", and it is an error if it
        cannot; or "never". Without an earlier model, training is a cold start.
      warm_epochs: Passes after a warm start, all of which are made: nothing is held out
        for validation.
      warm_learning_rate: In place of `learning_rate` after a warm start.
      warm_replay: Of the windows without a rating that is newer than the data of the
        earlier model, the share that an epoch has after a warm start, drawn anew for
        each epoch; it has all windows with one.
      cold_start_every: Every so many trainings one is a cold start; 0 for none.
    """

    loss: ClassName = "auto"
    loss_reduction: Literal["mean", "sum"] = "mean"
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    label_smoothing: Fraction = 0.2
    num_negatives: PositiveInt = 2048
    uniform_negatives: Count = 0
    hard_negatives: Count = 0
    logq_correction: bool = True
    remove_accidental_hits: bool = True
    target_weight: TargetWeight = "equal"
    rating_weight: Weight = 0.0
    self_supervised_weight: Weight = 0.0
    optimizer: ClassName = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 7e-3
    learning_rate_schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: Weight = 0.0
    epochs: PositiveInt = 9
    batch_size: PositiveInt = 64
    validation_queries: Queries = "auto"
    patience: PositiveInt | None = 3
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    # Keras takes 32 bits without a sign, TensorFlow with one; modules add to it.
    seed: Annotated[int, Field(ge=0, le=2_000_000_000)] = 42
    warm_start: Literal["auto", "always", "never"] = "auto"
    warm_epochs: PositiveInt = 6
    warm_learning_rate: Annotated[float, Field(gt=0, le=1)] = 7e-3
    warm_replay: Annotated[float, Field(ge=0, le=1)] = 0.5
    cold_start_every: Count = 0


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class RequestLimits:
    """The largest request that the exported model answers; it refuses a larger one.

    Attributes:
      max_batch: Rows of a request, each with the id of a user or a movie.
      max_history: Events of a timeline that comes with a request.
      max_filters: Movies that a row may exclude, and genres that it may name.
      max_k: Movies that a row may ask for. What is not recommended to a user is mostly
        what they have seen, so that an answer of the whole corpus shows their history.
    """

    max_batch: RequestSize = 1024
    max_history: RequestSize = 10_000
    max_filters: RequestSize = 1000
    max_k: RequestSize = 100


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class IndexConfig:
    """How the exported model searches the movies.

    Attributes:
      index: `brute_force` scores every movie; `ivf` only those of the most promising
        leaves, groups of similar movies; `auto` is `ivf` in a corpus of 200,000 movies
        or more. The Evaluator measures what `ivf` misses: `eval.min_index_recall`.
      index_leaves: Groups that k-means makes for `ivf`, of which the largest are cut
        into several leaves; None for one for every 512 movies.
      index_probes: Leaves that `ivf` searches for each query; more are slower and find
        more.
      index_int8: Whether `ivf` stores embeddings in two 8-bit parts, in less memory: it
        searches by the coarse part and ranks what it finds by both.
    """

    index: Literal["auto", "brute_force", "ivf"] = "auto"
    index_leaves: PositiveInt | None = None
    index_probes: PositiveInt = 32
    index_int8: bool = False

    @model_validator(mode="after")
    def _check_index(self) -> IndexConfig:
        for key in ("index_leaves", "index_int8"):
            if self.index == "brute_force" and getattr(self, key):
                raise ValueError(f"{key} is set, but index=brute_force does not use it")
        return self


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class TrainerConfig:
    """Everything that the Trainer reads, so that no other key makes it train again.

    Attributes:
      model: The two towers.
      train: How they are trained.
      dataset: MovieLens edition, which the exported model names.
      window_length: Events of a training window at most.
      rating_scale: See `data.rating_scale`.
      top_k: Cut-offs of the metrics; the exported model returns lists of the longest.
      exclude_seen: Whether the exported model's evaluation leaves out seen movies.
      limits: The largest request that the exported model answers.
      index: How it searches the movies.
      code_hash: Fingerprint of the code: edited code resumes no interrupted training.
    """

    model: ModelConfig
    train: TrainConfig
    dataset: str
    window_length: PositiveInt
    top_k: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    exclude_seen: bool
    rating_scale: Scale | None = None
    limits: RequestLimits = Field(default_factory=RequestLimits)
    index: IndexConfig = Field(default_factory=IndexConfig)
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
