"""The configuration of the pipeline: frozen, typed and checked when it is made.

`PipelineConfig` holds everything that decides *what* is computed, and in its section
`kubeflow` what a cluster must give for it. Where it is computed (paths, runner, Beam
arguments) is given to `create_pipeline` by the runner, so that one configuration means
the same model on every runner.

See `pipeline.config_loading` for YAML files and `--set key=value`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.config_types import FROZEN, Fraction, PositiveInt
from pipeline.data_config import DataConfig
from pipeline.eval_config import EvalConfig
from pipeline.kubeflow_config import KubeflowConfig

__all__ = [
    "DataConfig",
    "EvalConfig",
    "KubeflowConfig",
    "ModelConfig",
    "PipelineConfig",
    "ServingConfig",
    "TrainConfig",
]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class ModelConfig:
    """The two towers.

    Attributes:
      embedding_dim: Width of both towers' output, the dot product's length.
      recency_decays: Weights of an event relative to the next newer one, one for each
        recency-weighted pool of the history.
      dropout: Dropout rate of the query tower's input.
      user_dropout: Rate at which training hides who the user is, so that the model
        learns to serve users it has never seen by their history alone.
      title_tokens: Title words with an embedding (the most frequent); 0 for none.
    """

    embedding_dim: Annotated[int, Field(ge=2, le=4096)] = 64
    recency_decays: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.8, 0.95)
    dropout: Fraction = 0.5
    user_dropout: Fraction = 0.1
    title_tokens: Annotated[int, Field(ge=0)] = 2000


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class TrainConfig:
    """How the towers are trained.

    Attributes:
      loss: Whether a target is compared with the whole corpus or with a sample of it;
        "auto" takes the whole corpus up to 4,096 movies.
      num_negatives: Movies in a sample.
      epochs: Passes over the train split.
      batch_size: Windows (not events) per step.
      learning_rate: Learning rate of Adam at the start; it falls along a cosine.
      seed: Seed of initial weights, shuffling and dropout.
    """

    loss: Literal["auto", "full_softmax", "sampled_softmax"] = "auto"
    num_negatives: PositiveInt = 2048
    epochs: PositiveInt = 9
    batch_size: PositiveInt = 32
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-3
    seed: int = 42


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class ServingConfig:
    """What a pushed model must be able to do.

    Attributes:
      warmup_requests: Real requests stored with the model for TF Serving's warm-up.
      max_latency_ms: Median time of one `serving_default` call above which the model
        is not servable; None for no limit.
    """

    warmup_requests: Annotated[int, Field(ge=1, le=1000)] = 10
    max_latency_ms: Annotated[float, Field(gt=0)] | None = 100.0


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class PipelineConfig:
    """Everything that decides what the pipeline computes, and what runs it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,127}$")] = "two-tower"
    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    eval: EvalConfig = Field(default_factory=EvalConfig)
    serving: ServingConfig = Field(default_factory=ServingConfig)
    kubeflow: KubeflowConfig = Field(default_factory=KubeflowConfig)
