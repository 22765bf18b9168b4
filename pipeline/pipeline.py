"""The one definition of the pipeline's graph, for every runner.

Example, which trains on the files in `data/ml-100k`:
  ```python
  from tfx.orchestration.local.local_dag_runner import LocalDagRunner
  from pipeline.config import PipelineConfig
  from pipeline.pipeline import create_pipeline

  pipeline = create_pipeline(PipelineConfig(), pipeline_root="out")
  LocalDagRunner().run(pipeline)
  ```
"""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.components.trainer.component import Trainer
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types.channel import BaseChannel
from tfx.utils import json_utils

from components.data_gate.component import DataGate
from components.data_gate.config import DataGateConfig
from components.data_gate.divergence import stats_options
from components.evaluator.component import RetrievalEvaluator
from components.example_validator.component import RetrievalExampleValidator
from components.feedback import impressions
from components.live_model.component import LiveModel
from components.movielens_example_gen.component import MovieLensExampleGen
from components.movielens_example_gen.inputs import spans
from components.parameters import to_parameter
from components.pusher.component import RetrievalPusher
from components.report_gen.component import ReportGen
from components.schema_importer import curated_schema_digest
from components.schema_importer.component import SchemaImporter
from components.servability_check.component import ServabilityCheck
from components.servability_check.config import ServingConfig
from components.statistics_gen.component import RetrievalStatisticsGen
from components.transform.component import RetrievalTransform
from components.tuner.component import SearchTuner
from components.warm_start.component import WarmStart
from pipeline.config import PipelineConfig
from pipeline.engines.beam_options import beam_args
from pipeline.fingerprints import code_fingerprints
from trainer.config import to_json
from trainer.features import (
    CORPUS_SPLIT,
    EVAL_SPLIT,
    KNOWN_SPLIT,
    SPLITS,
    TRAIN_SPLIT,
)
from trainer.tuning.config import TunerConfig


def create_pipeline(
    config: PipelineConfig,
    *,
    pipeline_root: str,
    input_base: str | RuntimeParameter | None = None,
    content_fingerprint: str | None = None,
    serving_dir: str | None = None,
    span: RuntimeParameter | None = None,
    beam_pipeline_args: list[str] | None = None,
    metadata_connection_config: Any = None,
    push_again: str = "",
) -> Pipeline:
    """Builds the pipeline, with caching on.

    It reads no environment variable. It reads the project's sources, whose fingerprints
    go into the cache keys, and the data, unless `content_fingerprint` is given.

    Args:
      config: What is computed.
      pipeline_root: Where artifacts are written.
      input_base: Folder of the MovieLens files or of their spans; by default
        `data/<data.dataset>`. On Kubeflow a parameter, which each run can set.
      content_fingerprint: Hash of those files, for the cache; "" to have the step that
        reads them compute it. By default that is so only if the folder is not here.
      serving_dir: Folder that the model server watches, with one subfolder per version;
        by default `<pipeline_root>/serving`.
      span: Parameter by which a run names its last span in place of `data.last_span`.
      beam_pipeline_args: Arguments of Beam for the distributed steps; by default those
        of `config.engine`.
      metadata_connection_config: ML Metadata; by default `metadata.sqlite` in a local
        `pipeline_root`, which is created.
      push_again: A value that no run had yet, to push the model even if it was pushed
        before and taken away; empty otherwise.

    Raises:
      UserError: The folder is here, but a file or a span is missing.
    """
    if input_base is None:
        input_base = os.path.join("data", config.data.dataset)
    is_here = isinstance(input_base, str) and os.path.isdir(input_base)
    if content_fingerprint is None and is_here:
        content_fingerprint = spans.content_fingerprint(input_base, config.data)
    if serving_dir is None:
        serving_dir = os.path.join(pipeline_root, "serving")
    is_local = pipeline_root and "://" not in pipeline_root
    if metadata_connection_config is None and is_local:
        database = os.path.join(pipeline_root, "metadata.sqlite")
        metadata_connection_config = sqlite_metadata_connection_config(database)
    example_gen = MovieLensExampleGen(
        input_base, config.data, content_fingerprint or "", span
    )
    nodes = [example_gen, *_steps(config, example_gen, serving_dir, push_again)]
    _add_fingerprints(nodes, config)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=pipeline_root,
        components=nodes,
        enable_cache=True,
        beam_pipeline_args=beam_pipeline_args
        or [*beam_args(config.engine), *config.data.beam_args()],
        metadata_connection_config=metadata_connection_config,
    )


def _steps(
    config: PipelineConfig,
    example_gen: MovieLensExampleGen,
    serving_dir: str,
    push_again: str,
) -> list[BaseComponent]:
    """The graph: from examples to a pushed model and the report of the run."""
    examples = example_gen.outputs["examples"]

    # Check the data.
    statistics_gen = RetrievalStatisticsGen(
        examples=examples,
        stats_options=stats_options(config.data.rating_scale),
        exclude_splits=[KNOWN_SPLIT],  # nothing is learned or measured from it
    )
    statistics = statistics_gen.outputs["statistics"]
    schema_importer = SchemaImporter(
        schema_digest=curated_schema_digest(config.data.rating_scale),
        rating_scale=json.dumps(config.data.rating_scale),
    )
    schema = schema_importer.outputs["schema"]
    validator = RetrievalExampleValidator(statistics=statistics, schema=schema)
    anomalies = validator.outputs["anomalies"]
    data_gate = DataGate(
        examples=examples,
        statistics=statistics,
        anomalies=anomalies,
        schema=schema,
        config=to_parameter(DataGateConfig, config.data),
        serving_dir=serving_dir,
        title_tokens=str(config.model.title_tokens),
    )

    # Train a candidate.
    transform = _transform(config, examples, schema)
    transform.add_upstream_node(data_gate)  # which stops the run on unfit data
    training_data = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema,
    }
    tuner = None
    if config.tune.enabled:
        search = TunerConfig(trainer=config.trainer_config(), tune=config.tune)
        tuner = SearchTuner(**training_data, config=search)
    warm_start = WarmStart(
        examples=examples,
        serving_dir=serving_dir,
        mode=config.train.warm_start,
        cold_start_every=config.train.cold_start_every,
    )
    training_data["base_model"] = warm_start.outputs["base_model"]
    trainer = _trainer(config, training_data, tuner)
    model = trainer.outputs["model"]

    # Push it if it is better than the live model and can be served.
    live_model = LiveModel(candidate=model, serving_dir=serving_dir)
    evaluator = RetrievalEvaluator(
        examples=examples,
        model=model,
        baseline_model=live_model.outputs["model"],
        schema=schema,
        eval_config=config.eval,
    )
    servability = ServabilityCheck(
        model=model,
        examples=examples,
        serving=to_parameter(ServingConfig, config.serving),
    )
    pusher = RetrievalPusher(
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=servability.outputs["blessing"],
        statistics=statistics,
        live_model=live_model.outputs["model"],
        push_destination=serving_dir,
        push_again=push_again,
        approval=config.eval,
        rollout=config.serving,
    )

    report_gen = ReportGen(
        examples=examples,
        statistics=statistics,
        schema=schema,
        anomalies=anomalies,
        data_report=data_gate.outputs["report"],
        transform_graph=transform.outputs["transform_graph"],
        tuner_results=tuner.outputs["tuner_results"] if tuner else None,
        base_model=training_data["base_model"],
        model=model,
        model_run=trainer.outputs["model_run"],
        baseline_model=live_model.outputs["model"],
        evaluation=evaluator.outputs["evaluation"],
        infra_blessing=servability.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
        config=json.dumps(config.computed(), sort_keys=True),
        impressions_fingerprint=None
        if config.feedback.impressions is None
        else impressions.fingerprint(config.feedback.impressions),
    )
    nodes = [statistics_gen, schema_importer, validator, data_gate, transform, tuner]
    nodes += [
        warm_start,
        trainer,
        live_model,
        evaluator,
        servability,
        pusher,
        report_gen,
    ]
    return [node for node in nodes if node is not None]


def _transform(
    config: PipelineConfig, examples: BaseChannel, schema: BaseChannel
) -> RetrievalTransform:
    return RetrievalTransform(
        examples=examples,
        schema=schema,
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        # The movie vocabulary is the corpus; nothing is learned from the eval split.
        splits_config=transform_pb2.SplitsConfig(
            analyze=[TRAIN_SPLIT, CORPUS_SPLIT], transform=list(SPLITS)
        ),
        custom_config={"title_tokens": config.model.title_tokens},
    )


def _trainer(
    config: PipelineConfig, data: dict[str, BaseChannel], tuner: SearchTuner | None
) -> Trainer:
    return Trainer(
        **data,
        run_fn="trainer.training.run_fn",
        train_args=trainer_pb2.TrainArgs(splits=[TRAIN_SPLIT, CORPUS_SPLIT]),
        eval_args=trainer_pb2.EvalArgs(splits=[EVAL_SPLIT, KNOWN_SPLIT]),
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        custom_config=to_json(config.trainer_config()),
    )


def _add_fingerprints(nodes: list[BaseComponent], config: PipelineConfig) -> None:
    """Gives nodes their code's fingerprint as a parameter: a part of the cache key."""
    fingerprints = code_fingerprints(nodes, config)
    for node in nodes:
        properties = node.exec_properties
        if node.id in fingerprints:
            properties["code_hash"] = fingerprints[node.id]
        if isinstance(node, Trainer):  # it resumes no training of other code
            custom_config = json_utils.loads(properties["custom_config"])
            custom_config["code_hash"] = fingerprints[node.id]
            properties["custom_config"] = json_utils.dumps(custom_config)
        elif isinstance(node, ReportGen):
            properties["code_hashes"] = json.dumps(fingerprints)
