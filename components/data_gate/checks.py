"""The checks of DataGate, in the order in which their findings are reported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor as example_validator
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.data_gate.drift import check_drift, check_skew
from components.data_gate.findings import Finding, FindingCounter
from components.data_gate.inputs import GateInputs
from components.data_gate.integrity import check_corpus, check_timelines
from components.data_gate.schema_violations import count_violations
from trainer import features


def check_all(inputs: GateInputs) -> tuple[dict[str, Any], list[Finding]]:
    """Runs all checks that make sense for the data.

    Returns:
      `rows`, `drift` and `skew` for the report, and everything that is wrong.

    Raises:
      UserError: A bound names a feature that this data does not have.
    """
    rows = count_rows(inputs)
    results: dict[str, Any] = {"rows": rows}
    findings = check_row_counts(rows, dict[str, int](inputs.config.min_rows.items()))
    filled = [split for split in features.SPLITS if rows[split]]
    for split in filled:
        findings += check_anomalies(inputs, split)
    # While a split is missing, ids that are not in the corpus are no news.
    if len(filled) == len(features.SPLITS):
        findings += check_integrity(inputs)
    # Wrong rows are distributed wrongly, which would report them twice.
    if not findings:
        results["drift"], drifted = check_drift(inputs)
        results["skew"], skewed = check_skew(inputs)
        findings = drifted + skewed
    return results, findings


def count_rows(inputs: GateInputs) -> dict[str, int]:
    """Returns split -> rows, 0 for a split that was not written."""
    written = artifact_utils.decode_split_names(inputs.statistics.split_names)
    counts = dict.fromkeys(features.SPLITS, 0)
    for split in set(written) & set(counts):
        datasets = inputs.split_statistics(split).datasets
        counts[split] = int(sum(dataset.num_examples for dataset in datasets))
    return counts


def check_row_counts(
    rows: Mapping[str, int], min_rows: Mapping[str, int]
) -> list[Finding]:
    """Finds the splits that are empty or too small."""
    return [
        Finding(
            split=split,
            feature="the split",
            expected=f"have at least {min_rows.get(split, 1):,} rows",
            found=f"{found:,}",
            remedy="Bring more ratings, hold out less, or lower data.min_rows.",
        )
        for split, found in rows.items()
        if found < min_rows.get(split, 1)
    ]


def check_anomalies(inputs: GateInputs, split: str) -> list[Finding]:
    """Explains the anomalies that the validator found in a split, with counts."""
    anomalies = load_anomalies(inputs.anomalies, split)
    # TFDV names a feature by its path, in quotes where it is not a plain word.
    reported = {name.strip("'"): info for name, info in anomalies.anomaly_info.items()}
    if not reported:
        return []
    counter = FindingCounter(split)
    count_violations(
        inputs.rows(split), inputs.schema, counter, split, sorted(reported)
    )
    findings = counter.findings()
    explained = {finding.feature for finding in findings}
    # Anomalies that only the statistics show.
    findings += [
        Finding(split, name, "fit the schema", info.description)
        for name, info in sorted(reported.items())
        if name not in explained
    ]
    return findings


def check_integrity(inputs: GateInputs) -> list[Finding]:
    """Finds what a schema cannot express: blank, duplicate, unknown and leaked ids."""
    counter = FindingCounter(features.CORPUS_SPLIT)
    corpus = check_corpus(inputs.rows(features.CORPUS_SPLIT), counter)
    findings = counter.findings()
    for split in (features.TRAIN_SPLIT, features.EVAL_SPLIT):
        counter = FindingCounter(split)
        check_timelines(inputs.rows(split), split, corpus, counter)
        findings += counter.findings()
    return findings


def load_anomalies(artifact: types.Artifact, split: str) -> anomalies_pb2.Anomalies:
    """Reads a split's anomalies; `tfdv.load_anomalies_binary` is not in TFDV 1.16."""
    folder = artifact_utils.get_split_uri([artifact], split)
    path = os.path.join(folder, example_validator.DEFAULT_FILE_NAME)
    with fileio.open(path, "rb") as file:
        return anomalies_pb2.Anomalies.FromString(file.read())
