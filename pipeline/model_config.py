"""The configuration of the two towers: `ModelConfig`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from pipeline.config_types import FROZEN, ClassName, Fraction, PositiveInt

MovieFeature = Literal["id", "genres", "decade", "year", "title"]
EventFeature = Literal["rating", "gap"]


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
