"""Reads `Examples` in Beam as whole Arrow batches, not record by record.

Beam's own source reads TFRecords in Python: every record passes through the runner, its
checksum and the gauge of a batch's size. TensorFlow reads and unpacks a file in C++, on
a thread of its own, and only batches reach Beam.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.io import fileio
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio.tf_example_record import TFExampleRecord

# TFX's own default has at most 1,000 rows. A batch of this one has 5 to 10 MiB.
_ROWS_PER_BATCH: Final = 4096


class ExampleBatches(TFExampleRecord):
    """TFX's reader of serialized `tf.train.Example`s, with another Beam source."""

    def BeamSource(  # noqa: N802 - TFX's name
        self, batch_size: int | None = None
    ) -> beam.PTransform:
        """Returns a source of `pa.RecordBatch` with a column for each feature.

        Its columns are those of the schema, or those found in the batch.

        Args:
          batch_size: Rows of a batch; by default enough to hide the cost of a call.
        """
        return _ReadBatches(
            self._file_pattern, self._schema, batch_size or _ROWS_PER_BATCH
        )

    def _ProjectImpl(  # noqa: N802 - TFX's name
        self, tensor_names: list[str]
    ) -> ExampleBatches:
        projected = super()._ProjectImpl(tensor_names)
        return ExampleBatches(self._file_pattern, schema=projected._schema)


class _ReadBatches(beam.PTransform):
    """Reads the files of patterns, each in one piece, in the order of their names."""

    def __init__(
        self, patterns: list[str], schema: schema_pb2.Schema | None, batch_size: int
    ) -> None:
        super().__init__()
        self._patterns = patterns
        # Serialized, as TFX passes it: a message of the schema need not be picklable.
        self._schema = None if schema is None else schema.SerializeToString()
        self._batch_size = batch_size

    def expand(self, pipeline: Any) -> beam.PCollection[pa.RecordBatch]:
        files = [file for name in self._patterns for file in sorted(fileio.glob(name))]
        return (
            pipeline
            | "Files" >> beam.Create(files)
            | "SpreadOverWorkers" >> beam.Reshuffle()
            | "ReadBatches"
            >> beam.FlatMap(
                read_batches, self._schema, self._batch_size
            ).with_output_types(pa.RecordBatch)
        )


def read_batches(
    path: str, schema: bytes | None = None, batch_size: int = _ROWS_PER_BATCH
) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file as batches with a column for each feature.

    Args:
      path: Serialized `tf.train.Example`s as TFRecords.
      schema: Serialized, of the features to read; None for those found in a batch.
      batch_size: Rows of a batch.
    """
    decoder = example_coder.ExamplesToRecordBatchDecoder(*([schema] if schema else []))
    compression = "GZIP" if path.endswith(".gz") else ""
    rows = tf.data.TFRecordDataset(path, compression_type=compression)
    for batch in rows.batch(batch_size).prefetch(1).as_numpy_iterator():
        yield decoder.DecodeBatch(batch.tolist())
