"""The evaluation in TFMA: its configuration, its Beam pipeline and its results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.util import tfxio_utils
from tfx.types import artifact_utils
from tfx.utils import io_utils
from tfx_bsl.tfxio import tensor_adapter

from components.evaluator.config import EvalConfig
from components.evaluator.query_ranks import (
    RankedUser,
    row_fingerprint,
    write_query_ranks,
)
from components.evaluator.results import TRAINED_ON, SliceResult, metric_names
from components.evaluator.tfma_metric import RetrievalMetrics
from components.evaluator.thresholds import thresholds_of
from components.loaded_models import load_model
from components.movielens_example_gen.data_summary import (
    SUMMARY_PROPERTY,
    parse_summary,
)
from trainer.features import EVAL_SPLIT, USER_ID
from trainer.progress import Work
from trainer.serving_contract import EVALUATE

CANDIDATE: Final = tfma.CANDIDATE_KEY
BASELINE: Final = tfma.BASELINE_KEY


def to_tfma(config: EvalConfig, has_baseline: bool) -> config_pb2.EvalConfig:
    """Returns TFMA's configuration of an evaluation.

    The margin of each threshold must not be negative, see
    `components.evaluator.thresholds`.

    Args:
      config: Metrics, slices and thresholds.
      has_baseline: Whether there is a live model.
    """
    thresholds = thresholds_of(config, has_baseline)
    parameters = {
        "metrics": metric_names(config),
        "thresholds": [dataclasses.asdict(item) for item in thresholds],
    }
    metric = config_pb2.MetricConfig(
        class_name=RetrievalMetrics.__name__,
        module=RetrievalMetrics.__module__,
        config=json.dumps(parameters),
    )
    metrics = config_pb2.MetricsSpec(metrics=[metric])
    for item in thresholds:
        bound = _add_threshold(metrics, item.name, item.slice)
        bound.lower_bound.value = 0.0
    _add_threshold(metrics, TRAINED_ON).upper_bound.value = 0.0
    # All users together, then each value of each feature.
    slices = [config_pb2.SlicingSpec()]
    slices += [config_pb2.SlicingSpec(feature_keys=[n]) for n in config.all_slices]
    # TFMA wants no name for a model that is evaluated alone.
    models = [
        config_pb2.ModelSpec(
            name=name,
            signature_name=EVALUATE.name,
            # It is called on serialized rows, whatever made the model.
            model_type="tf_generic",
            is_baseline=name == BASELINE,
        )
        for name in ((CANDIDATE, BASELINE) if has_baseline else ("",))
    ]
    evaluation = config_pb2.EvalConfig(
        model_specs=models, metrics_specs=[metrics], slicing_specs=slices
    )
    # A SavedModel's own Keras metrics have no meaning for a ranking.
    evaluation.options.include_default_metrics.value = False
    return evaluation


def _add_threshold(
    metrics: config_pb2.MetricsSpec, name: str, of_slice: str = ""
) -> config_pb2.GenericValueThreshold:
    """Adds a threshold on a statistic in `feature` or `feature=value`."""
    feature, is_one, value = of_slice.partition("=")
    spec = config_pb2.SlicingSpec()
    if is_one:
        spec.feature_values[feature] = value
    elif feature:
        spec.feature_keys.append(feature)
    added = metrics.per_slice_thresholds[name].thresholds.add(slicing_specs=[spec])
    return added.threshold.value_threshold


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluation of the candidate reads, and where it writes.

    Attributes:
      config: Metrics, slices and thresholds.
      examples: The eval rows.
      schema: Of the features that TFMA slices on.
      candidate_path: Directory of the candidate's SavedModel.
      uri: Folder of TFMA's files and of `query_ranks.parquet`.
    """

    config: EvalConfig
    examples: types.Artifact
    schema: schema_pb2.Schema
    candidate_path: str
    uri: str


def add_evaluation(
    pipeline: beam.Pipeline, evaluation: Evaluation, baseline_path: str | None
) -> None:
    """Adds an evaluation, against a live model if there is one, to a pipeline."""
    config = to_tfma(evaluation.config, baseline_path is not None)
    paths = [path for path in (evaluation.candidate_path, baseline_path) if path]
    shared = [
        tfma.default_eval_shared_model(
            eval_saved_model_path=path,
            model_name=spec.name,
            eval_config=config,
            custom_model_loader=tfma.types.ModelLoader(partial(_load_model, path)),
        )
        for path, spec in zip(paths, config.model_specs, strict=True)
    ]
    shared_models = shared if len(shared) > 1 else shared[0]
    split = artifact_utils.get_split_uri([evaluation.examples], EVAL_SPLIT)
    source = tfxio_utils.get_tfxio_factory_from_artifact(
        examples=[evaluation.examples],
        telemetry_descriptors=["Evaluator"],
        schema=evaluation.schema,
        raw_record_column_name=tfma.ARROW_INPUT_COLUMN,
    )(io_utils.all_files_pattern(split))
    keep_ranks = tfma.evaluators.Evaluator(
        stage_name="KeepQueryRanks",
        run_after="ExtractPredictions",
        ptransform=_KeepQueryRanks(config.model_specs[0].name, evaluation.uri),
    )
    _ = (
        pipeline
        | "ReadEvalRows" >> source.BeamSource()
        | "ReportProgress" >> beam.ParDo(_ReportProgress(_num_rows(evaluation)))
        | "ExtractEvaluateAndWriteResults"
        >> tfma.ExtractEvaluateAndWriteResults(
            eval_shared_model=shared_models,
            eval_config=config,
            evaluators=[
                *tfma.default_evaluators(
                    eval_shared_model=shared_models, eval_config=config
                ),
                keep_ranks,
            ],
            output_path=evaluation.uri,
            tensor_adapter_config=tensor_adapter.TensorAdapterConfig(
                arrow_schema=source.ArrowSchema(),
                tensor_representations=source.TensorRepresentations(),
            ),
        )
    )


def _num_rows(evaluation: Evaluation) -> int:
    """Rows of the eval split, as MovieLensExampleGen counted them; 0 if not known."""
    text = evaluation.examples.get_string_custom_property(SUMMARY_PROPERTY)
    return int(parse_summary(text).get("rows", {}).get(EVAL_SPLIT, 0))


class _ReportProgress(beam.DoFn):
    """Passes batches on, and reports how many queries were ranked.

    A batch is ranked where it is yielded: the runner fuses these transforms. One that
    spreads the rows over other processes reports nothing, since nobody listens there.

    Args:
      total: Rows of the split; 0 if not known.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._ranked = 0
        self._work: Work | None = None

    def process(self, batch: Any) -> Iterator[Any]:
        """Yields the batch."""
        self._work = self._work or Work("queries")
        yield batch
        self._ranked += batch.num_rows
        share = min(self._ranked / self._total, 1.0) if self._total else None
        self._work.update(share, self._ranked)


@dataclasses.dataclass(frozen=True)
class _EvaluatedModel:
    """What TFMA calls: a loaded model whose `EVALUATE` is one of its signatures."""

    model: Any  # holds the variables that the function reads
    signatures: dict[str, Any]


def _load_model(path: str) -> _EvaluatedModel:
    model = load_model(path)
    return _EvaluatedModel(model, {EVALUATE.name: EVALUATE.function(model)})


@beam.ptransform_fn
def _KeepQueryRanks(  # noqa: N802 - a PTransform
    extracts: beam.PCollection, model_name: str, evaluation_uri: str
) -> dict[str, beam.PCollection]:
    """Writes `query_ranks.parquet` beside what TFMA's own evaluator measures."""
    written = (
        extracts
        | beam.FlatMap(_ranked_users, model_name)
        | beam.combiners.ToList()
        | beam.Map(write_query_ranks, evaluation_uri)
    )
    return {"query_ranks": written}


def _ranked_users(extracts: dict[str, Any], model_name: str) -> Iterator[RankedUser]:
    """Yields the queries of a batch that have a held-out movie."""
    outputs = extracts[tfma.PREDICTIONS_KEY]
    outputs = outputs[model_name] if model_name else outputs
    users = extracts[tfma.FEATURES_KEY][USER_ID].values  # sparse, but each row has one
    rows = np.ravel(extracts[tfma.INPUT_KEY])
    sizes = np.ravel(outputs["corpus_size"])
    for user, row, size, ranks in zip(users, rows, sizes, outputs["rank"], strict=True):
        if held_out := [int(rank) for rank in np.ravel(ranks) if rank]:
            yield RankedUser(
                user.decode("utf-8", "replace"),
                row_fingerprint(row),
                int(size),
                held_out,
            )


def read_slices(evaluation_uri: str) -> list[SliceResult]:
    """Returns all slices, all users together first, then by feature and value."""
    slices = [_slice(record) for record in tfma.load_metrics(evaluation_uri)]
    return sorted(slices, key=lambda result: sorted(map(str, result.features.items())))


def _slice(record: Any) -> SliceResult:
    models: dict[str, dict[str, float]] = {}
    for item in record.metric_keys_and_values:
        if not item.key.is_diff:
            metrics = models.setdefault(item.key.model_name or CANDIDATE, {})
            metrics[item.key.name] = item.value.double_value.value
    features = {
        key.column: _as_text(getattr(key, key.WhichOneof("kind")))
        for key in record.slice_key.single_slice_keys
    }
    return SliceResult(
        features=features,
        candidate=models.get(CANDIDATE, {}),
        baseline=models.get(BASELINE),
    )


def _as_text(value: bytes | int | float) -> str | int | float:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
