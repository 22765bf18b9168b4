"""The one definition of the pipeline's graph, for every runner."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.components.transform.component import Transform
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types.channel import BaseChannel

from components.data_gate.component import DataGate
from components.evaluator.component import RetrievalEvaluator
from components.example_validator.component import RetrievalExampleValidator
from components.live_model.component import LiveModel
from components.movielens_example_gen.component import MovieLensExampleGen
from components.pusher.component import RetrievalPusher
from components.report_gen.component import ReportGen
from components.schema_importer import curated_schema_digest
from components.schema_importer.component import SchemaImporter
from components.servability_check.component import ServabilityCheck
from components.tuner.component import SearchTuner
from pipeline.config import PipelineConfig
from trainer.config import to_json
from trainer.features import CORPUS_SPLIT, EVAL_SPLIT, SPLITS, TRAIN_SPLIT
from trainer.tuning.config import TunerConfig


def create_pipeline(
    config: PipelineConfig,
    *,
    pipeline_root: str,
    input_base: str | RuntimeParameter,
    content_fingerprint: str,
    serving_dir: str,
    fingerprints: Mapping[str, str],
    span: RuntimeParameter | None = None,
    beam_pipeline_args: list[str] | None = None,
    metadata_connection_config: Any = None,
) -> Pipeline:
    """Builds the graph. Reads no environment and no data: runners pass what differs.

    Args:
      config: What is computed.
      pipeline_root: Where artifacts are written.
      input_base: Folder of the MovieLens files; a parameter where a run can bind it.
      content_fingerprint: Hash of those files' content, for the cache.
      serving_dir: Folder that the model server watches; one sub-folder per version.
      fingerprints: `pipeline.fingerprints.code_fingerprints()`.
      span: Parameter by which a run names its last span in place of `data.last_span`;
        None where the configuration alone decides.
      beam_pipeline_args: Beam engine of the steps that distribute.
      metadata_connection_config: ML Metadata, for runners that need to be told.

    Returns:
      The pipeline, with caching on.
    """
    source = _Source(input_base, content_fingerprint, span)
    data = _data_nodes(config, source, serving_dir, fingerprints)
    model = _model_nodes(config, data, serving_dir, fingerprints)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=pipeline_root,
        components=[*data.values(), *model],
        enable_cache=True,
        beam_pipeline_args=beam_pipeline_args,
        metadata_connection_config=metadata_connection_config,
    )


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where the files are and which of them are read."""

    input_base: str | RuntimeParameter
    content_fingerprint: str
    span: RuntimeParameter | None


def _data_nodes(
    config: PipelineConfig,
    source: _Source,
    serving_dir: str,
    fingerprints: Mapping[str, str],
) -> dict[str, BaseComponent]:
    """From files to examples that are fit for training."""
    example_gen = MovieLensExampleGen(
        input_base=source.input_base,
        data_config=config.data,
        content_fingerprint=source.content_fingerprint,
        code_hash=fingerprints["MovieLensExampleGen"],
        span=source.span,
    )
    statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"])
    schema = SchemaImporter(
        schema_digest=curated_schema_digest(),
        code_hash=fingerprints["SchemaImporter"],
    )
    validator = RetrievalExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema.outputs["schema"],
        code_hash=fingerprints["ExampleValidator"],
    )
    gate = DataGate(
        examples=example_gen.outputs["examples"],
        statistics=statistics_gen.outputs["statistics"],
        anomalies=validator.outputs["anomalies"],
        schema=schema.outputs["schema"],
        min_rows=json.dumps(dict(config.data.min_rows), sort_keys=True),
        max_drift=json.dumps(dict(config.data.max_drift), sort_keys=True),
        max_skew=json.dumps(dict(config.data.max_skew), sort_keys=True),
        serving_dir=serving_dir,
        code_hash=fingerprints["DataGate"],
    )
    return {
        "example_gen": example_gen,
        "statistics_gen": statistics_gen,
        "schema": schema,
        "validator": validator,
        "gate": gate,
    }


def _model_nodes(
    config: PipelineConfig,
    data: Mapping[str, BaseComponent],
    serving_dir: str,
    fingerprints: Mapping[str, str],
) -> list[BaseComponent]:
    """From examples to a pushed model and the report of it."""
    examples = data["example_gen"].outputs["examples"]
    schema = data["schema"].outputs["schema"]
    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        # The movie vocabulary is the corpus; nothing is learned from the eval split.
        splits_config=transform_pb2.SplitsConfig(
            analyze=[TRAIN_SPLIT, CORPUS_SPLIT], transform=list(SPLITS)
        ),
        custom_config={
            "title_tokens": config.model.title_tokens,
            "code_hash": fingerprints["Transform"],
        },
        # Nobody reads the statistics of indices; StatisticsGen has those of the data.
        disable_statistics=True,
        # Nobody hands one back in, and writing it takes a sixth of the step's CPU time.
        disable_analyzer_cache=True,
    )
    # An order without data: nothing is made of examples that the gate refused.
    transform.add_upstream_node(data["gate"])
    tuner = _tuner(config, transform, schema, fingerprints)
    trainer = Trainer(
        run_fn="trainer.training.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=trainer_pb2.TrainArgs(splits=[TRAIN_SPLIT, CORPUS_SPLIT]),
        eval_args=trainer_pb2.EvalArgs(splits=[EVAL_SPLIT]),
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        custom_config=to_json(config.trainer_config(fingerprints["Trainer"])),
    )
    candidate = trainer.outputs["model"]
    live_model = LiveModel(
        model=candidate,
        serving_dir=serving_dir,
        code_hash=fingerprints["LiveModel"],
    )
    evaluator = RetrievalEvaluator(
        examples=examples,
        model=candidate,
        baseline_model=live_model.outputs["model"],
        schema=schema,
        eval_config=config.eval,
        code_hash=fingerprints["Evaluator"],
    )
    servability = ServabilityCheck(
        model=candidate,
        examples=examples,
        serving=config.serving,
        code_hash=fingerprints["ServabilityCheck"],
    )
    pusher = RetrievalPusher(
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=servability.outputs["blessing"],
        statistics=data["statistics_gen"].outputs["statistics"],
        push_destination=serving_dir,
        code_hash=fingerprints["Pusher"],
    )
    report_gen = ReportGen(
        inputs={
            "examples": examples,
            "statistics": data["statistics_gen"].outputs["statistics"],
            "schema": schema,
            "anomalies": data["validator"].outputs["anomalies"],
            "data_report": data["gate"].outputs["report"],
            "transform_graph": transform.outputs["transform_graph"],
            **({"tuner_results": tuner.outputs["tuner_results"]} if tuner else {}),
            "model": candidate,
            "model_run": trainer.outputs["model_run"],
            "baseline_model": live_model.outputs["model"],
            "evaluation": evaluator.outputs["evaluation"],
            "infra_blessing": servability.outputs["blessing"],
            "pushed_model": pusher.outputs["pushed_model"],
        },
        config=_reported_config(config),
        code_hashes={
            node: digest
            for node, digest in fingerprints.items()
            if tuner or node != "Tuner"
        },
        code_hash=fingerprints["ReportGen"],
    )
    return [
        transform,
        *([tuner] if tuner else []),
        trainer,
        live_model,
        evaluator,
        servability,
        pusher,
        report_gen,
    ]


def _tuner(
    config: PipelineConfig,
    transform: Transform,
    schema: BaseChannel,
    fingerprints: Mapping[str, str],
) -> SearchTuner | None:
    """The search for hyperparameters, where the configuration wants one."""
    if not config.tune.enabled:
        return None
    return SearchTuner(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        config=TunerConfig(
            trainer=config.trainer_config(fingerprints["Tuner"]), tune=config.tune
        ),
    )


def _reported_config(config: PipelineConfig) -> str:
    """All that decides what is computed, and not what a cluster gives for it."""
    content = dataclasses.asdict(config)
    del content["kubeflow"]
    if not config.tune.enabled:
        del content["tune"]
    return json.dumps(content, sort_keys=True)
