"""Applies a Transform graph to files of rows."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import impl_helper
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader
from tfx.dsl.io import fileio
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.example_batches import ExampleBatches, read_batches

# The level that Beam's own sink uses takes more than twice the time to save an eighth
# of the bytes.
_OPTIONS: Final = {"compression_type": "GZIP", "compression_level": 1}


class TransformFile(beam.DoFn):
    """Transforms the rows of a file into another one, whole batches at a time.

    Beam sees files, not rows: each row that passes through it costs more than its
    transformation.

    Args:
      raw: Schema of the rows.
      transformed: Schema of transformed rows.
      temporary: Folder of unfinished files, outside of what readers list.
    """

    def __init__(
        self,
        raw: schema_pb2.Schema,
        transformed: schema_pb2.Schema,
        temporary: str,
    ) -> None:
        super().__init__()
        self._temporary = temporary
        # Serialized, as TFX passes it: a message of the schema need not be picklable.
        self._raw = raw.SerializeToString()
        self._schema = transformed.SerializeToString()
        self._loader: SavedModelLoader | None = None

    def setup(self) -> None:
        """Called by Beam in the worker."""
        raw = schema_pb2.Schema.FromString(self._raw)
        self._adapter = ExampleBatches("", schema=raw).TensorAdapter()
        schema = schema_pb2.Schema.FromString(self._schema)
        self._converter = impl_helper.make_tensor_to_arrow_converter(schema)
        self._encoder = RecordBatchToExamplesEncoder(schema)

    def process(self, paths: tuple[str, str], graph: str) -> None:
        """Transforms a file.

        Args:
          paths: The file, and the one to write.
          graph: Path of the Transform graph's SavedModel.
        """
        source, target = paths
        # Two workers may write the same file, of which one is given up.
        temporary = os.path.join(self._temporary, uuid.uuid4().hex)
        options = tf.io.TFRecordOptions(**_OPTIONS)
        fileio.makedirs(self._temporary)
        fileio.makedirs(os.path.dirname(target))
        with tf.io.TFRecordWriter(temporary, options) as writer:
            for row in self._transformed(source, graph):
                writer.write(row)
        fileio.rename(temporary, target, overwrite=True)

    def _transformed(self, path: str, graph: str) -> Iterator[bytes]:
        if self._loader is None:
            self._loader = SavedModelLoader(graph)
            outputs = self._loader.structured_outputs
            self._loader.finalize(self._adapter.TypeSpecs(), outputs)
        for batch in read_batches(path, self._raw):
            tensors: dict[str, Any] = self._adapter.ToBatchTensors(batch)
            transformed = self._loader.apply_transform_model(tensors)
            yield from self._encoder.encode(self._converter.convert(transformed))
