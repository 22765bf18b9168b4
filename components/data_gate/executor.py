"""Executor of DataGate."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from typing import Any, Final

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.data_gate import checks
from components.data_gate.findings import Finding, gate_error
from trainer import features

REPORT_FILE: Final = "data_report.json"
_LOG: Final = logging.getLogger(__name__)


class Executor(base_executor.BaseExecutor):
    """Lets the run go on only if the data is fit for training."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Checks the data and writes the report.

        Args:
          input_dict: `examples`, `statistics`, `anomalies` and `schema`, one each.
          output_dict: `report`: one `DataReport` artifact.
          exec_properties: `min_rows`: JSON object, split -> rows it must have;
            `max_drift` and `max_skew`: JSON objects, feature -> divergence; and
            `serving_dir`.

        Raises:
          DataGateError: Something is wrong. All findings are also in the log, since the
            runner removes the outputs of a step that failed, the report included.
          UserError: A bound names a feature that this data does not have.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        inputs = _inputs(input_dict, exec_properties)
        report = artifact_utils.get_single_instance(output_dict["report"])
        rows = checks.count_rows(inputs)
        findings = _findings(inputs, rows)
        told: dict[str, Any] = {"rows": rows}
        # Rows that are wrong are distributed wrongly: that would say it twice.
        if not findings:
            told["drift"], drifted = checks.check_drift(inputs)
            told["skew"], skewed = checks.check_skew(inputs)
            _LOG.info("Drift: %s; skew: %s", told["drift"], told["skew"])
            findings = drifted + skewed
        _write_report(report, told, findings)
        if findings:
            for finding in findings:
                _LOG.error("DataGate: %s. %s", finding, finding.remedy)
            raise gate_error(findings)


def _inputs(
    input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]
) -> checks.GateInputs:
    schema_folder = artifact_utils.get_single_uri(input_dict["schema"])
    return checks.GateInputs(
        examples=artifact_utils.get_single_instance(input_dict["examples"]),
        statistics=artifact_utils.get_single_instance(input_dict["statistics"]),
        anomalies=artifact_utils.get_single_instance(input_dict["anomalies"]),
        schema=io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(schema_folder)
        ),
        min_rows=json.loads(exec_properties["min_rows"]),
        max_drift=json.loads(exec_properties["max_drift"]),
        max_skew=json.loads(exec_properties["max_skew"]),
        serving_dir=exec_properties["serving_dir"],
    )


def _findings(inputs: checks.GateInputs, rows: dict[str, int]) -> list[Finding]:
    findings = checks.check_row_counts(rows, inputs.min_rows)
    filled = [split for split in features.SPLITS if rows[split]]
    for split in filled:
        findings += checks.check_anomalies(inputs, split)
    # Stray ids are no news while a split is missing.
    if len(filled) == len(features.SPLITS):
        findings += checks.check_integrity(inputs)
    return findings


def _write_report(
    report: types.Artifact, told: dict[str, Any], findings: list[Finding]
) -> None:
    content = {
        **told,
        "anomalies": len(findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    io_utils.write_string_file(
        os.path.join(report.uri, REPORT_FILE), json.dumps(content, indent=2)
    )
    report.set_int_custom_property("anomalies", len(findings))
