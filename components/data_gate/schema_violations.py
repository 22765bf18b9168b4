"""Explains anomalies by the values that violate the schema.

TFDV works on statistics: it reports that a rating was too high, but not how many were.
These counts come from the rows themselves, and are only made if something is wrong.
"""

from __future__ import annotations

import os
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx import types
from tfx.components.example_validator import executor as example_validator
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.data_gate.findings import Finding, FindingCounter
from components.data_gate.inputs import GateInputs
from components.example_rows import arrow_batches, list_column

# Type in the schema -> what its values are called, and their type in Arrow.
_TYPES: Final = {
    schema_pb2.BYTES: ("bytes", pa.large_binary()),
    schema_pb2.INT: ("integers", pa.int64()),
    schema_pb2.FLOAT: ("floats", pa.float32()),
}


def check_anomalies(inputs: GateInputs, split: str) -> list[Finding]:
    """Explains the anomalies that the validator found in a split, with counts."""
    anomalies = load_anomalies(inputs.anomalies, split)
    # TFDV names a feature by its path, in quotes where it is not a plain word.
    reported = {name.strip("'"): info for name, info in anomalies.anomaly_info.items()}
    if not reported:
        return []
    counter = FindingCounter(split)
    by_name = {feature.name: feature for feature in inputs.schema.feature}
    for batch in arrow_batches(inputs.examples, split):
        for name in sorted(reported):
            column = list_column(batch, name)
            feature = by_name.get(name)
            if feature is not None and split not in feature.not_in_environment:
                _count_feature(feature, column, batch.num_rows, counter)
            elif column is not None:
                present = len(column) - column.null_count
                counter.add_rows(name, "not be in this split", "it", present)
    findings = counter.findings()
    explained = {finding.feature for finding in findings}
    # Anomalies that only the statistics show.
    findings += [
        Finding(split, name, "fit the schema", info.description)
        for name, info in sorted(reported.items())
        if name not in explained
    ]
    return findings


def load_anomalies(artifact: types.Artifact, split: str) -> anomalies_pb2.Anomalies:
    """Reads a split's anomalies; `tfdv.load_anomalies_binary` is not in TFDV 1.16."""
    folder = artifact_utils.get_split_uri([artifact], split)
    path = os.path.join(folder, example_validator.DEFAULT_FILE_NAME)
    with fileio.open(path, "rb") as file:
        return anomalies_pb2.Anomalies.FromString(file.read())


def _count_feature(
    feature: schema_pb2.Feature,
    column: pa.Array | None,
    num_rows: int,
    counter: FindingCounter,
) -> None:
    missing = num_rows if column is None else column.null_count
    if feature.presence.min_fraction == 1:
        counter.add_rows(feature.name, "be in every row", "none", missing)
    if column is None:
        return
    _count_lengths(feature, column, counter)
    values = pc.list_flatten(column)
    type_name, arrow_type = _TYPES[feature.type]
    if values.type == arrow_type:
        _count_domain(feature, values, counter)
    else:
        counter.add_values(feature.name, f"hold {type_name}", values)


def _count_lengths(
    feature: schema_pb2.Feature, column: pa.Array, counter: FindingCounter
) -> None:
    lengths = pc.list_value_length(column).drop_null()
    low, high = feature.value_count.min, feature.value_count.max
    if low:
        too_few = pc.sum(pc.less(lengths, low)).as_py() or 0
        counter.add_rows(feature.name, f"have at least {low} value", "fewer", too_few)
    if high:
        too_many = lengths.filter(pc.greater(lengths, high))
        found = f"{pc.max(too_many)} values"
        expected = f"have at most {high} value"
        counter.add_rows(feature.name, expected, found, len(too_many))


def _count_domain(
    feature: schema_pb2.Feature, values: pa.Array, counter: FindingCounter
) -> None:
    kind = feature.WhichOneof("domain_info")
    if kind == "string_domain":
        allowed = list(feature.string_domain.value)
        known = pa.array([v.encode() for v in allowed], values.type)
        bad = values.filter(pc.invert(pc.is_in(values, value_set=known)))
        counter.add_values(feature.name, f"be one of {', '.join(allowed)}", bad)
    elif kind in ("float_domain", "int_domain"):
        domain = getattr(feature, kind)
        # A NaN is neither below nor above, so it must be inside to pass.
        inside = pc.is_valid(values)
        if has_min := domain.HasField("min"):
            inside = pc.and_(inside, pc.greater_equal(values, domain.min))
        if has_max := domain.HasField("max"):
            inside = pc.and_(inside, pc.less_equal(values, domain.max))
        if has_min and has_max:
            expected = f"be between {domain.min} and {domain.max}"
        else:
            low, high = f"at least {domain.min}", f"at most {domain.max}"
            expected = f"be {low if has_min else high}"
        counter.add_values(feature.name, expected, values.filter(pc.invert(inside)))
