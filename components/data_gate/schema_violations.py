"""Counts the values that violate the schema, to explain an anomaly.

TFDV works on statistics: it reports that a rating was too high, but not how many were.
These counts come from the rows themselves, and are only made if something is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2

from components.data_gate.findings import FindingCounter

_TYPE_NAMES: Final = {
    schema_pb2.BYTES: "bytes",
    schema_pb2.INT: "integers",
    schema_pb2.FLOAT: "floats",
}


def count_violations(
    batches: Iterable[pa.RecordBatch],
    schema: schema_pb2.Schema,
    counter: FindingCounter,
    split: str,
    features: Sequence[str],
) -> None:
    """Counts the values and rows that violate the schema.

    Args:
      batches: Rows of the split, a column of lists for each feature.
      schema: Schema whose environments are the splits' names.
      counter: Receives the counts.
      split: Name of the split.
      features: Names of the features to look at.
    """
    by_name = {feature.name: feature for feature in schema.feature}
    for batch in batches:
        for name in features:
            column = batch.column(name) if name in batch.schema.names else None
            feature = by_name.get(name)
            if feature is None or split in feature.not_in_environment:
                _count_foreign(name, column, counter)
            else:
                _count_feature(feature, column, batch.num_rows, counter)


def _count_foreign(name: str, column: pa.Array | None, counter: FindingCounter) -> None:
    if column is not None:
        present = len(column) - column.null_count
        counter.add_rows(name, "not be in this split", "it", present)


def _count_feature(
    feature: schema_pb2.Feature,
    column: pa.Array | None,
    num_rows: int,
    counter: FindingCounter,
) -> None:
    name = feature.name
    missing = num_rows if column is None else column.null_count
    if feature.presence.min_fraction == 1:
        counter.add_rows(name, "be in every row", "none", missing)
    if column is None or pa.types.is_null(column.type):
        return
    _count_lengths(feature, column, counter)
    values = pc.list_flatten(column)
    if _schema_type(values.type) == feature.type:
        _count_domain(feature, values, counter)
    else:
        expected = f"hold {_TYPE_NAMES[feature.type]}"
        counter.add_values(name, expected, values)


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
        low = domain.min if domain.HasField("min") else None
        high = domain.max if domain.HasField("max") else None
        # A NaN is neither below nor above, so it must be inside to pass.
        inside = pc.is_valid(values)
        if low is not None:
            inside = pc.and_(inside, pc.greater_equal(values, low))
        if high is not None:
            inside = pc.and_(inside, pc.less_equal(values, high))
        expected = _bounds(low, high)
        counter.add_values(feature.name, expected, values.filter(pc.invert(inside)))


def _bounds(low: float | None, high: float | None) -> str:
    if high is None:
        return f"be at least {low}"
    return f"be at most {high}" if low is None else f"be between {low} and {high}"


def _schema_type(arrow_type: pa.DataType) -> int:
    if pa.types.is_integer(arrow_type):
        return int(schema_pb2.INT)
    if pa.types.is_floating(arrow_type):
        return int(schema_pb2.FLOAT)
    return int(schema_pb2.BYTES)
