# TFX reads the annotations of the function, so they must not be postponed.
"""DataGate: stops the run when the data is not fit for training."""

import dataclasses
import json
import logging
import os
from typing import Any, Final

from tfx import types
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.data_gate import DATA_REPORT_FILE, NUM_FINDINGS, UNFIT
from components.data_gate.config import DataGateConfig
from components.data_gate.drift import check_drift, check_skew
from components.data_gate.findings import DataGateError, Finding
from components.data_gate.inputs import GateInputs, find_reference, reference_key
from components.data_gate.integrity import check_integrity
from components.data_gate.schema_violations import check_anomalies
from components.live_driver import LiveDriver, check_unchanged
from components.parameters import from_parameter
from trainer import features

_LOG: Final = logging.getLogger(__name__)
_FINDINGS_IN_MESSAGE: Final = 3


class DataReport(types.Artifact):
    """What DataGate found, in the file `data_report.json`.

    The file has `rows` (split -> number), `findings` (the fields of `Finding`), their
    number as `anomalies` and, where there was no finding before, `drift` and `skew`.
    """

    # Kubeflow's runner finds the class again by this name: see `components`.
    TYPE_NAME = "components.DataReport"


@component
def DataGate(  # noqa: PLR0917 - TFX takes no keyword-only ones
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    schema: InputArtifact[standard_artifacts.Schema],
    report: OutputArtifact[DataReport],
    config: Parameter[str],
    serving_dir: Parameter[str],
    title_tokens: Parameter[str],
    live: Parameter[str] = "",
) -> None:
    """Fails the run when the data is not fit for training.

    It fails when the validator found anomalies, a split is empty or too small, ids
    are blank, duplicate, outside the corpus or leaked, or the distribution of values
    has drifted since the live model was trained. ExampleValidator itself only reports,
    and calls an empty split valid. A step that must wait for the gate names it as an
    upstream node.

    Args:
      examples: Splits train, eval and corpus.
      statistics: Of the examples.
      anomalies: Of the statistics.
      schema: What they were validated against.
      report: Lists the findings. The runner removes it when the step fails, so they are
        logged too.
      config: JSON of `DataGateConfig`.
      serving_dir: Where Pusher puts the versions.
      title_tokens: `model.title_tokens`, as text.
      live: What the driver found there; empty where none ran.

    Raises:
      DataGateError: The data is not fit.
      UserError: A bound names a feature that this data does not have.
    """
    inputs = GateInputs(
        examples=examples,
        statistics=statistics,
        anomalies=anomalies,
        schema=io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema.uri)),
        config=from_parameter(DataGateConfig, config),
        serving_dir=serving_dir,
        needs_title_words=int(title_tokens) > 0,
    )
    check_unchanged(inputs.reference_key, live, serving_dir)
    results, findings = check_all(inputs)
    _LOG.info("Checked: %s", results)
    content = {
        **results,
        "anomalies": len(findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    path = os.path.join(report.uri, DATA_REPORT_FILE)
    io_utils.write_string_file(path, json.dumps(content, indent=2))
    report.set_int_custom_property(NUM_FINDINGS, len(findings))
    for finding in findings:
        _LOG.error("DataGate: %s. %s", finding, finding.remedy)
    if findings:
        listed = "; ".join(map(str, findings[:_FINDINGS_IN_MESSAGE]))
        more = len(findings) - _FINDINGS_IN_MESSAGE
        if more > 0:
            listed += f"; and {more} more, all of them in the log"
        message = f"{UNFIT}: {listed}"
        raise DataGateError(message, findings[0].remedy)


class Driver(LiveDriver):
    """Makes the statistics that the data is compared with a part of the cache key."""

    def find(self, execution_info: Any) -> str:
        """Returns version and digest of the statistics."""
        [statistics] = execution_info.input_dict["statistics"]
        serving_dir = execution_info.exec_properties["serving_dir"]
        return reference_key(find_reference(statistics, serving_dir))


DataGate.DRIVER_CLASS = Driver


def check_all(inputs: GateInputs) -> tuple[dict[str, Any], list[Finding]]:
    """Runs all checks that make sense for the data.

    Returns:
      `rows`, `drift` and `skew` for the report, and everything that is wrong.

    Raises:
      UserError: A bound names a feature that this data does not have.
    """
    rows, findings = check_row_counts(inputs)
    results: dict[str, Any] = {"rows": rows}
    filled = [split for split in features.MEASURED_SPLITS if rows[split]]
    for split in filled:
        findings += check_anomalies(inputs, split)
    # While a split is missing, ids that are not in the corpus are no news.
    if len(filled) == len(features.MEASURED_SPLITS):
        findings += check_integrity(inputs)
    # Wrong rows are distributed wrongly, which would report them twice.
    if not findings:
        results["drift"], drifted = check_drift(inputs)
        results["skew"], skewed = check_skew(inputs)
        findings = drifted + skewed
    return results, findings


def check_row_counts(inputs: GateInputs) -> tuple[dict[str, int], list[Finding]]:
    """Returns split -> rows, and which splits are empty or too small."""
    written = artifact_utils.decode_split_names(inputs.statistics.split_names)
    rows = dict.fromkeys(features.MEASURED_SPLITS, 0)
    findings = []
    for split in features.MEASURED_SPLITS:
        if split in written:
            datasets = inputs.split_statistics(split).datasets
            rows[split] = int(sum(dataset.num_examples for dataset in datasets))
        min_rows = inputs.config.min_rows.get(split, 1)
        if rows[split] < min_rows:
            finding = Finding(
                split=split,
                feature="the split",
                expected=f"have at least {min_rows:,} rows",
                found=f"{rows[split]:,}",
                remedy="Bring more ratings, hold out less, or lower data.min_rows.",
            )
            findings.append(finding)
    return rows, findings
