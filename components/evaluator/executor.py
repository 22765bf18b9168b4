"""Executor of RetrievalEvaluator."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

import tensorflow_model_analysis as tfma
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_component_specs as specs
from tfx.types.artifact_utils import get_single_instance
from tfx.utils import io_utils, path_utils

from components.evaluator import retrieval_summary
from components.evaluator.config import EvalConfig
from components.evaluator.model_faults import (
    ranking_fault,
    run_fault,
    signature_fault,
)
from components.evaluator.tfma_evaluation import (
    Evaluation,
    add_evaluation,
    read_slices,
)
from components.example_rows import serialized_rows
from components.live_model import EXISTS, NOTE, SOURCE
from components.parameters import from_parameter
from trainer.errors import UserError
from trainer.features import EVAL_SPLIT, USER_ID

# Execution property: `EvalConfig`, see `components.parameters`.
CONFIG: Final = "config"

_LOG: Final = logging.getLogger(__name__)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Evaluates the candidate, blesses it or not, and explains the decision.

    It stands in for the executor of TFX's Evaluator, which passes no output folder to
    what a user adds to the evaluation, so that the ranks of queries could not be kept.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Called by TFX.

        Raises:
          UserError: If the candidate lacks the signature, a slice is not a feature, or
            the live model cannot be evaluated and the configuration does not ignore it.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = from_parameter(EvalConfig, exec_properties[CONFIG])
        schema = get_single_instance(input_dict[specs.SCHEMA_KEY])
        candidate = get_single_instance(input_dict[specs.MODEL_KEY])
        path = path_utils.serving_model_path(candidate.uri)
        evaluation = Evaluation(
            config=config,
            examples=get_single_instance(input_dict[specs.EXAMPLES_KEY]),
            schema=_slicing_schema(schema, config),
            candidate_path=path,
            uri=get_single_instance(output_dict[specs.EVALUATION_KEY]).uri,
        )
        # Beam would fail on it only later, and at length.
        if fault := signature_fault(path):
            raise UserError(
                f"The trained model {path} cannot be evaluated: {fault}",
                "Export it with the signatures of trainer/serving_contract.py.",
            )
        live = input_dict.get(specs.BASELINE_MODEL_KEY)
        baseline = _live_model(live)
        fault = self._compare(evaluation, baseline) if baseline else None
        if baseline and fault and not config.ignore_broken_live_model:
            source = baseline.get_string_custom_property(SOURCE) or baseline.uri
            raise UserError(
                f"The live model {source} cannot be evaluated: {fault}",
                "Withdraw it with `two-tower rollback`, or set "
                "eval.ignore_broken_live_model=true to replace it by a model that "
                "only meets the floors and beats popularity.",
            )
        baseline = None if fault else baseline
        if baseline is None:
            self._evaluate(evaluation, None)
        summary = retrieval_summary.summarize(
            config,
            read_slices(evaluation.uri),
            is_valid=tfma.load_validation_result(evaluation.uri).validation_ok,
            has_baseline=baseline is not None,
            ignored_fault=fault,
            live_note=get_single_instance(live).get_string_custom_property(NOTE)
            if live
            else "",
        )
        retrieval_summary.write_summary(summary, evaluation.uri)
        blessing = get_single_instance(output_dict[specs.BLESSING_KEY])
        _write_blessing(blessing, summary["blessed"], candidate, baseline)

    def _compare(self, evaluation: Evaluation, baseline: types.Artifact) -> str | None:
        """Evaluates against `baseline`; returns its fault where that is impossible."""
        path = path_utils.serving_model_path(baseline.uri)
        fault = signature_fault(path, is_live=True)
        fault = fault or ranking_fault(path, evaluation.candidate_path)
        if fault:
            return fault
        try:
            self._evaluate(evaluation, path)
        except Exception:
            # Only now is it worth the time to find out which model is at fault.
            rows = serialized_rows(evaluation.examples, EVAL_SPLIT).take(1)
            fault = run_fault(path, next(iter(rows.as_numpy_iterator())))
            if fault is None:
                raise
            _LOG.exception("The live model cannot be evaluated: %s", fault)
        return fault

    def _evaluate(self, evaluation: Evaluation, baseline_path: str | None) -> None:
        with self._make_beam_pipeline() as pipeline:
            add_evaluation(pipeline, evaluation, baseline_path)


def _slicing_schema(schema: types.Artifact, config: EvalConfig) -> schema_pb2.Schema:
    """Returns a schema of only those features that TFMA itself needs to see.

    The model parses the serialized rows on its own. Decoding every user's timeline
    again for TFMA costs more than all metrics together.
    """
    path = io_utils.get_only_uri_in_dir(schema.uri)
    features = {
        feature.name: feature
        for feature in io_utils.SchemaReader().read(path).feature
        if EVAL_SPLIT not in feature.not_in_environment
    }
    for name in config.all_slices:
        if name not in features:
            raise UserError(
                f"eval.slices names {name}, which is not a feature of the eval rows",
                f"Use some of {', '.join(sorted(features))}.",
            )
    wanted = sorted({USER_ID, *config.all_slices})
    return schema_pb2.Schema(feature=[features[name] for name in wanted])


def _live_model(found: list[types.Artifact] | None) -> types.Artifact | None:
    """Returns the live model; None where nothing is live yet."""
    if not found:
        return None
    model = get_single_instance(found)
    # Kubeflow passes numbers as doubles, which only this getter reads.
    if model.has_custom_property(EXISTS) and not model.get_int_custom_property(EXISTS):
        return None
    return model


def _write_blessing(
    blessing: types.Artifact,
    is_blessed: bool,
    candidate: types.Artifact,
    baseline: types.Artifact | None,
) -> None:
    """Writes the blessing as TFX's Evaluator does, for Pusher."""
    blessing.set_string_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, candidate.uri
    )
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, candidate.id
    )
    if baseline is not None:
        blessing.set_string_custom_property(
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baseline.uri
        )
        blessing.set_int_custom_property(
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id
        )
    name, value = (
        (constants.BLESSED_FILE_NAME, constants.BLESSED_VALUE)
        if is_blessed
        else (constants.NOT_BLESSED_FILE_NAME, constants.NOT_BLESSED_VALUE)
    )
    io_utils.write_string_file(os.path.join(blessing.uri, name), "")
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
