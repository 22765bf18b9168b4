"""The checks of DataGate, in the order in which their findings are told."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping

import pyarrow as pa
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx import types
from tfx.components.example_validator import executor as example_validator
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.data_gate.findings import Finding
from components.data_gate.integrity import check_corpus, check_timelines
from components.data_gate.tally import Tally
from components.data_gate.violations import count_violations
from components.example_rows import arrow_batches
from trainer import features


@dataclasses.dataclass(frozen=True)
class GateInputs:
    """What the checks look at.

    Attributes:
      examples: `Examples` with the three splits.
      statistics: `ExampleStatistics` of them.
      anomalies: `ExampleAnomalies` of the statistics.
      schema: The curated schema.
      min_rows: Split -> rows that it must have.
    """

    examples: types.Artifact
    statistics: types.Artifact
    anomalies: types.Artifact
    schema: schema_pb2.Schema
    min_rows: Mapping[str, int]

    def rows(self, split: str) -> Iterator[pa.RecordBatch]:
        """Yields the rows of the split, batch by batch."""
        return arrow_batches(self.examples, split)


def count_rows(inputs: GateInputs) -> dict[str, int]:
    """Returns split -> rows, 0 for a split that was not written."""
    written = artifact_utils.decode_split_names(inputs.statistics.split_names)
    counts = dict.fromkeys(features.SPLITS, 0)
    for split in set(written) & set(counts):
        stats = stats_artifact_utils.load_statistics(inputs.statistics, split).proto()
        counts[split] = int(sum(dataset.num_examples for dataset in stats.datasets))
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
    tally = Tally(split)
    count_violations(inputs.rows(split), inputs.schema, tally, split, sorted(reported))
    findings = tally.findings()
    explained = {finding.feature for finding in findings}
    # Anomalies that only the statistics show, such as drift.
    findings += [
        Finding(split, name, "fit the schema", info.description)
        for name, info in sorted(reported.items())
        if name not in explained
    ]
    return findings


def check_integrity(inputs: GateInputs) -> list[Finding]:
    """Finds what no schema can say: blank, doubled, stray and leaked ids."""
    tally = Tally(features.CORPUS_SPLIT)
    corpus = check_corpus(inputs.rows(features.CORPUS_SPLIT), tally)
    findings = tally.findings()
    for split in (features.TRAIN_SPLIT, features.EVAL_SPLIT):
        tally = Tally(split)
        check_timelines(inputs.rows(split), split, corpus, tally)
        findings += tally.findings()
    return findings


def load_anomalies(artifact: types.Artifact, split: str) -> anomalies_pb2.Anomalies:
    """Reads a split's anomalies; `tfdv.load_anomalies_binary` is not in TFDV 1.16."""
    folder = artifact_utils.get_split_uri([artifact], split)
    path = os.path.join(folder, example_validator.DEFAULT_FILE_NAME)
    with fileio.open(path, "rb") as file:
        return anomalies_pb2.Anomalies.FromString(file.read())
