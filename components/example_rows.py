"""Reads the rows of an `Examples` artifact, whole splits as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import tensorflow as tf
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx_bsl.coders import example_coder

_ROWS_PER_BATCH: Final = 2048


def serialized_rows(examples: types.Artifact, split: str) -> tf.data.Dataset:
    """Returns the serialized `tf.train.Example`s of a split, scalar strings.

    The order is that of the sorted file names, so it does not change between calls.
    """
    folder = artifact_utils.get_split_uri([examples], split)
    files = sorted(fileio.glob(f"{folder}/*"))
    if not files:
        return tf.data.Dataset.from_tensor_slices(tf.constant([], tf.string))
    compression = "GZIP" if files[0].endswith(".gz") else ""
    return tf.data.TFRecordDataset(files, compression_type=compression)


def arrow_batches(examples: types.Artifact, split: str) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a split, a column of lists for each feature found.

    Args:
      examples: `Examples` of serialized `tf.train.Example`.
      split: Name of the split.

    Yields:
      Batches of up to 2,048 rows. A row without the feature is null. Columns may
      differ between batches, as the features of the rows do.
    """
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    rows = serialized_rows(examples, split).batch(_ROWS_PER_BATCH).prefetch(1)
    for batch in rows.as_numpy_iterator():
        yield decoder.DecodeBatch(batch.tolist())


def list_column(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """Returns a feature's lists, `[rows]`; None where no row has any."""
    if name not in batch.schema.names:
        return None
    column = batch.column(name)
    return None if pa.types.is_null(column.type) else column
