"""The configuration of the pipeline: frozen, typed and checked when it is made.

`PipelineConfig` holds everything that decides *what* is computed, and in its section
`kubeflow` what a cluster must give for it. Where it is computed (paths, runner, Beam
arguments) is given to `create_pipeline` by the runner, so that one configuration means
the same model on every runner.

See `pipeline.config.loading` for YAML files and `--set key=value`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from components.data_gate.config import DataGateConfig
from components.evaluator.config import EvalConfig
from components.movielens_example_gen.config import ExampleGenConfig
from components.servability_check.config import ServingConfig
from pipeline.kubeflow.config import KubeflowConfig
from trainer.config import FROZEN, ModelConfig, TrainConfig, TrainerConfig
from trainer.tuning.config import TuneConfig

__all__ = [
    "DataConfig",
    "EvalConfig",
    "KubeflowConfig",
    "ModelConfig",
    "PipelineConfig",
    "ServingConfig",
    "TrainConfig",
    "TuneConfig",
]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class DataConfig(DataGateConfig, ExampleGenConfig):
    """What is read and how it is split, and what DataGate refuses of it."""


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class PipelineConfig:
    """Everything that decides what the pipeline computes, and what runs it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,127}$")] = "two-tower"
    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    tune: TuneConfig = Field(default_factory=TuneConfig)
    eval: EvalConfig = Field(default_factory=EvalConfig)
    serving: ServingConfig = Field(default_factory=ServingConfig)
    kubeflow: KubeflowConfig = Field(default_factory=KubeflowConfig)

    @model_validator(mode="after")
    def _check_tuning(self) -> PipelineConfig:
        if self.tune.enabled and not self.train.validation_queries:
            raise ValueError(
                "tune.enabled is true, but train.validation_queries is 0, so there is "
                "nothing to tell a good trial by"
            )
        return self

    def trainer_config(self) -> TrainerConfig:
        """Selects what the Trainer reads: another changed key must not retrain."""
        return TrainerConfig(
            model=self.model,
            train=self.train,
            dataset=self.data.dataset,
            window_length=self.data.window_length,
            top_k=self.eval.top_k,
            exclude_seen=self.eval.exclude_seen,
        )

    def computed(self) -> dict[str, Any]:
        """Returns what decides on the result, without what a cluster gives for it."""
        content = dataclasses.asdict(self)
        del content["kubeflow"]
        if not self.tune.enabled:
            del content["tune"]
        return content
