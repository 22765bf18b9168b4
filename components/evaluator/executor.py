"""Executor of RetrievalEvaluator."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import executor as evaluator_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, path_utils, proto_utils

from components.evaluator import extractors
from components.evaluator import query_ranks_writer as query_ranks
from components.evaluator.model_faults import (
    ranking_fault,
    run_fault,
    signature_fault,
)
from components.evaluator.retrieval_summary import write_summary
from components.evaluator.tfma_config import without_live_model
from components.example_rows import serialized_rows
from components.live_model import EXISTS, SOURCE
from trainer.errors import UserError
from trainer.features import EVAL_SPLIT, USER_ID

IGNORE_BROKEN_BASELINE: Final = "ignore_broken_baseline"
CONFIDENCE: Final = "confidence"

_LOG = logging.getLogger(__name__)

_Artifacts = dict[str, list[types.Artifact]]


class Executor(evaluator_executor.Executor):
    """TFX's Evaluator that can do without a live model and explains its decision."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: _Artifacts,
        output_dict: _Artifacts,
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates, decides and writes `retrieval_summary.json`.

        Raises:
          UserError: If the candidate lacks the signature, a slice names no feature, or
            the live model cannot be evaluated and that is not to be ignored.
        """
        eval_config = config_pb2.EvalConfig()
        proto_utils.json_to_proto(
            exec_properties[standard_component_specs.EVAL_CONFIG_KEY], eval_config
        )
        inputs = dict(input_dict)
        inputs[standard_component_specs.SCHEMA_KEY] = [
            self._slicing_schema(inputs, eval_config)
        ]
        _check_candidate(inputs)
        baseline = _pop_baseline(inputs)
        fault = None
        if baseline:
            fault = self._evaluate_with(baseline, inputs, output_dict, exec_properties)
        if fault and not int(exec_properties[IGNORE_BROKEN_BASELINE]):
            raise UserError(
                f"The live model {_source(baseline)} cannot be evaluated: {fault}",
                "Remove it from the serving directory, or set "
                "eval.ignore_broken_live_model=true to replace it by a model that "
                "only meets the floors and beats popularity.",
            )
        if fault or not baseline:
            eval_config = without_live_model(eval_config)
            as_json = proto_utils.proto_to_json(eval_config)
            alone = {standard_component_specs.EVAL_CONFIG_KEY: as_json}
            self._evaluate(inputs, output_dict, {**exec_properties, **alone})
        write_summary(
            _evaluation_uri(output_dict),
            eval_config,
            confidence=float(exec_properties[CONFIDENCE]),
            ignored_fault=fault,
        )

    def _evaluate_with(
        self,
        baseline: types.Artifact,
        inputs: _Artifacts,
        output_dict: _Artifacts,
        exec_properties: dict[str, Any],
    ) -> str | None:
        """Evaluates against `baseline`; returns its fault where that is impossible."""
        path = path_utils.serving_model_path(baseline.uri)
        candidate = path_utils.serving_model_path(
            artifact_utils.get_single_uri(inputs[standard_component_specs.MODEL_KEY])
        )
        fault = signature_fault(path, is_live=True) or ranking_fault(path, candidate)
        if fault:
            return fault
        with_baseline = {
            **inputs,
            standard_component_specs.BASELINE_MODEL_KEY: [baseline],
        }
        try:
            self._evaluate(with_baseline, output_dict, exec_properties)
        except Exception:
            # Only now is it worth the time to find out whose fault it was.
            fault = run_fault(path, _first_row(inputs))
            if fault is None:
                raise
            _LOG.exception("Evaluation failed for the live model's fault: %s", fault)
        return fault

    def _evaluate(
        self,
        inputs: _Artifacts,
        output_dict: _Artifacts,
        exec_properties: dict[str, Any],
    ) -> None:
        """TFX's own evaluation, which also keeps the ranks of each query."""
        parameters = {**exec_properties, **extractors.PARAMETER}
        with query_ranks.written_to(_evaluation_uri(output_dict)):
            super().Do(inputs, output_dict, parameters)

    def _slicing_schema(
        self, inputs: _Artifacts, eval_config: config_pb2.EvalConfig
    ) -> types.Artifact:
        """Returns a schema of only those features that TFMA itself needs to see.

        The model parses the serialized rows on its own. Decoding every user's timeline
        once more for TFMA costs more than all metrics together.
        """
        (source,) = inputs[standard_component_specs.SCHEMA_KEY]
        schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(source.uri))
        features = {
            feature.name: feature
            for feature in schema.feature
            if EVAL_SPLIT not in feature.not_in_environment
        }
        wanted = [
            key for spec in eval_config.slicing_specs for key in spec.feature_keys
        ]
        for name in wanted:
            if name not in features:
                raise UserError(
                    f"eval.slices names {name}, which is no feature of the eval rows",
                    f"Use some of {', '.join(sorted(features))}.",
                )
        # TFXIO refuses an empty schema, so the id is there even without a slice.
        pruned = schema_pb2.Schema(
            feature=[features[name] for name in sorted({USER_ID, *wanted})]
        )
        artifact = standard_artifacts.Schema()
        artifact.uri = os.path.join(self._get_tmp_dir(), "slicing_schema")
        fileio.makedirs(artifact.uri)
        io_utils.write_pbtxt_file(os.path.join(artifact.uri, "schema.pbtxt"), pruned)
        return artifact


def _evaluation_uri(output_dict: _Artifacts) -> str:
    evaluation = output_dict[standard_component_specs.EVALUATION_KEY]
    uri: str = artifact_utils.get_single_uri(evaluation)
    return uri


def _check_candidate(inputs: _Artifacts) -> None:
    """Refuses a candidate that cannot be asked, in one line instead of Beam's many."""
    uri = artifact_utils.get_single_uri(inputs[standard_component_specs.MODEL_KEY])
    path = path_utils.serving_model_path(uri)
    if fault := signature_fault(path):
        raise UserError(
            f"The trained model {path} cannot be evaluated: {fault}",
            "Export it with the signatures of trainer/export.py.",
        )


def _pop_baseline(inputs: _Artifacts) -> types.Artifact | None:
    """Takes the live model out of the inputs; None where nothing is live yet."""
    artifacts = inputs.pop(standard_component_specs.BASELINE_MODEL_KEY, [])
    if not artifacts:
        return None
    (artifact,) = artifacts
    is_none = (
        artifact.has_custom_property(EXISTS)
        # Kubeflow hands numbers on as doubles, which only this getter reads.
        and artifact.get_int_custom_property(EXISTS) == 0
    )
    return None if is_none else artifact


def _source(baseline: types.Artifact | None) -> str:
    """Where the live model was found, or at least its copy."""
    if baseline is None:
        return ""
    return baseline.get_string_custom_property(SOURCE) or baseline.uri


def _first_row(inputs: _Artifacts) -> bytes:
    (examples,) = inputs[standard_component_specs.EXAMPLES_KEY]
    return next(iter(serialized_rows(examples, EVAL_SPLIT).take(1).as_numpy_iterator()))
