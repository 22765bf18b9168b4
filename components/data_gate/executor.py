"""Executor of DataGate."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from tfx import types
from tfx.utils import io_utils

from components.data_gate import checks
from components.data_gate.findings import Finding, gate_error
from components.single_artifacts import Artifacts, SingleArtifactExecutor
from trainer import features

REPORT_FILE: Final = "data_report.json"
_LOG: Final = logging.getLogger(__name__)


class Executor(SingleArtifactExecutor):
    """Lets the run go on only if the data is fit for training."""

    def run(
        self, inputs: Artifacts, outputs: Artifacts, parameters: Mapping[str, Any]
    ) -> None:
        """Checks the data and writes the report.

        Args:
          inputs: `examples`, `statistics`, `anomalies` and `schema`.
          outputs: `report`: a `DataReport`.
          parameters: `min_rows`: JSON object, split -> rows it must have;
            `max_drift` and `max_skew`: JSON objects, feature -> divergence; and
            `serving_dir`.

        Raises:
          DataGateError: Something is wrong. All findings are also in the log, since the
            runner removes the outputs of a step that failed, the report included.
          UserError: A bound names a feature that this data does not have.
        """
        looked_at = _inputs(inputs, parameters)
        rows = checks.count_rows(looked_at)
        findings = _findings(looked_at, rows)
        told: dict[str, Any] = {"rows": rows}
        # Rows that are wrong are distributed wrongly: that would say it twice.
        if not findings:
            told["drift"], drifted = checks.check_drift(looked_at)
            told["skew"], skewed = checks.check_skew(looked_at)
            _LOG.info("Drift: %s; skew: %s", told["drift"], told["skew"])
            findings = drifted + skewed
        _write_report(outputs["report"], told, findings)
        if findings:
            for finding in findings:
                _LOG.error("DataGate: %s. %s", finding, finding.remedy)
            raise gate_error(findings)


def _inputs(inputs: Artifacts, parameters: Mapping[str, Any]) -> checks.GateInputs:
    return checks.GateInputs(
        examples=inputs["examples"],
        statistics=inputs["statistics"],
        anomalies=inputs["anomalies"],
        schema=io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(inputs["schema"].uri)
        ),
        min_rows=json.loads(parameters["min_rows"]),
        max_drift=json.loads(parameters["max_drift"]),
        max_skew=json.loads(parameters["max_skew"]),
        serving_dir=parameters["serving_dir"],
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
