"""The checks of DataGate, in the order in which their findings are reported."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx import types
from tfx.components.example_validator import executor as example_validator
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.data_gate.config import DataGateConfig
from components.data_gate.distributions import Comparison, Statistics, compare
from components.data_gate.findings import Finding, FindingCounter
from components.data_gate.integrity import check_corpus, check_timelines
from components.data_gate.schema_violations import count_violations
from components.example_rows import arrow_batches
from components.serving_directory import latest_version, train_statistics
from trainer import features


@dataclasses.dataclass(frozen=True)
class GateInputs:
    """What the checks read.

    Attributes:
      examples: `Examples` with the three splits.
      statistics: `ExampleStatistics` of them.
      anomalies: `ExampleAnomalies` of the statistics.
      schema: The curated schema.
      config: The bounds.
      serving_dir: Folder with the live version.
    """

    examples: types.Artifact
    statistics: types.Artifact
    anomalies: types.Artifact
    schema: schema_pb2.Schema
    config: DataGateConfig
    serving_dir: str

    def rows(self, split: str) -> Iterator[pa.RecordBatch]:
        """Yields the rows of the split, batch by batch."""
        return arrow_batches(self.examples, split)

    def split_statistics(self, split: str) -> Statistics:
        """Reads the statistics of the split."""
        return stats_artifact_utils.load_statistics(self.statistics, split).proto()


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


def check_drift(inputs: GateInputs) -> tuple[dict[str, Any], list[Finding]]:
    """Compares the train split with what the live model was trained on.

    As for LiveModel, the serving directory decides what is live.

    Returns:
      The entry of the report, and the features beyond their bounds.
    """
    version = latest_version(inputs.serving_dir)
    if version is None:
        return {"note": "no version is live yet"}, []
    reference = train_statistics(os.path.join(inputs.serving_dir, version))
    if reference is None:
        return {"note": f"the live version {version} came without statistics"}, []
    comparison = Comparison(
        setting="data.max_drift",
        split=features.TRAIN_SPLIT,
        statistics=inputs.split_statistics(features.TRAIN_SPLIT),
        reference_name=f"the live version {version}",
        reference=reference,
        bounds=dict[str, float](inputs.config.max_drift.items()),
    )
    divergences, findings = compare(comparison, inputs.schema)
    return {"live_version": version, "divergences": divergences}, findings


def check_skew(inputs: GateInputs) -> tuple[dict[str, Any], list[Finding]]:
    """Compares the histories of the eval split with those of the train split.

    Returns:
      The entry of the report, and the features beyond their bounds.
    """
    comparison = Comparison(
        setting="data.max_skew",
        split=features.EVAL_SPLIT,
        statistics=inputs.split_statistics(features.EVAL_SPLIT),
        reference_name="the split train",
        reference=inputs.split_statistics(features.TRAIN_SPLIT),
        bounds=dict[str, float](inputs.config.max_skew.items()),
    )
    divergences, findings = compare(comparison, inputs.schema)
    return {"divergences": divergences}, findings


def load_anomalies(artifact: types.Artifact, split: str) -> anomalies_pb2.Anomalies:
    """Reads a split's anomalies; `tfdv.load_anomalies_binary` is not in TFDV 1.16."""
    folder = artifact_utils.get_split_uri([artifact], split)
    path = os.path.join(folder, example_validator.DEFAULT_FILE_NAME)
    with fileio.open(path, "rb") as file:
        return anomalies_pb2.Anomalies.FromString(file.read())
