"""The configuration of the pipeline: frozen, typed and validated when it is created.

`PipelineConfig` defines *what* is computed and, in its sections `engine` and
`kubeflow`, the cluster and the resources for it, which change no result. Paths are
arguments of `create_pipeline`, so that one configuration means the same model on every
runner. Each section is defined by the package that it configures.

See `pipeline.config.loading` for YAML files and `--set key=value`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from components.data_gate.config import DataGateConfig
from components.evaluator.config import EvalConfig as EvaluatorConfig
from components.feedback.config import FeedbackConfig
from components.movielens_example_gen.config import ExampleGenConfig, IngestConfig
from components.pusher.config import ApprovalConfig, RolloutConfig
from components.servability_check.config import ServingConfig as ServabilityConfig
from pipeline.engines.config import EngineConfig
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.monitoring.config import MonitoringConfig
from pipeline.notifications.config import NotifyConfig
from pipeline.retraining.config import RetrainConfig
from trainer.config import FROZEN, ModelConfig, TrainerConfig
from trainer.config import TrainConfig as FitConfig
from trainer.tuning.config import TuneConfig
from trainer.workers.config import WorkersConfig

__all__ = [
    "DataConfig",
    "EngineConfig",
    "EvalConfig",
    "FeedbackConfig",
    "KubeflowConfig",
    "ModelConfig",
    "MonitoringConfig",
    "NotifyConfig",
    "PipelineConfig",
    "RetrainConfig",
    "ServingConfig",
    "TrainConfig",
    "TuneConfig",
]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class DataConfig(DataGateConfig, ExampleGenConfig, IngestConfig):
    """What is read, how it is split, and which data DataGate rejects."""


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class TrainConfig(FitConfig, WorkersConfig):
    """How the model is trained, and by how many processes."""


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class EvalConfig(EvaluatorConfig, ApprovalConfig):
    """What is measured, what decides the blessing, and who approves the push."""


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class ServingConfig(ServabilityConfig, RolloutConfig):
    """What a served model must do, and how a pushed version goes live."""


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class PipelineConfig:
    """Everything that defines what the pipeline computes."""

    # TFX allows 63 characters.
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=63)] = (
        "two-tower"
    )
    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    tune: TuneConfig = Field(default_factory=TuneConfig)
    eval: EvalConfig = Field(default_factory=EvalConfig)
    serving: ServingConfig = Field(default_factory=ServingConfig)
    feedback: FeedbackConfig = Field(default_factory=FeedbackConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)
    kubeflow: KubeflowConfig = Field(default_factory=KubeflowConfig)
    retrain: RetrainConfig = Field(default_factory=RetrainConfig)
    notify: NotifyConfig = Field(default_factory=NotifyConfig)
    monitoring: MonitoringConfig = Field(default_factory=MonitoringConfig)

    @model_validator(mode="after")
    def _check_tuning(self) -> PipelineConfig:
        if self.tune.enabled and not self.train.validation_queries:
            raise ValueError(
                "tune.enabled is true, but train.validation_queries is 0: a search "
                "compares its trials by these queries"
            )
        return self

    @model_validator(mode="after")
    def _check_implicit_data(self) -> PipelineConfig:
        has_ratings = self.data.columns.get("rating", "") is not None
        if self.train.rating_weight and not has_ratings:
            raise ValueError(
                f"train.rating_weight is {self.train.rating_weight:g}, but "
                "data.columns.rating is null: there are no ratings to predict"
            )
        return self

    @model_validator(mode="after")
    def _check_history(self) -> PipelineConfig:
        if self.serving.max_history < self.data.window_length:
            raise ValueError(
                f"serving.max_history is {self.serving.max_history}, less than "
                f"data.window_length ({self.data.window_length}): the model would "
                "refuse a timeline of the length that it reads"
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
            rating_scale=self.data.rating_scale,
            limits=self.serving.limits(),
            index=self.serving.search(),
        )

    def computed(self) -> dict[str, Any]:
        """Returns what decides on the result, without what surrounds the runs."""
        content = dataclasses.asdict(self)
        for section in ("engine", "kubeflow", "retrain", "notify", "monitoring"):
            del content[section]
        del content["train"]["workers"]
        del content["data"]["ingest"]
        if self.feedback.impressions is None:
            del content["feedback"]
        if not self.tune.enabled:
            del content["tune"]
        return content
