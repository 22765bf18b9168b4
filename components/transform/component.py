"""RetrievalTransform: TFX's Transform, which reads and writes whole batches of rows."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.transform import executor
from tfx.components.transform.component import Transform
from tfx.dsl.components.base import executor_spec
from tfx.proto import transform_pb2
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.example_batches import ExampleBatches
from components.example_sink import ExampleSink


class _Processor(executor.TransformProcessor):
    """The stock processor, with another reader and another writer."""

    def _CreateTFXIO(  # noqa: N802 - TFX's name
        self, dataset: Any, schema: schema_pb2.Schema
    ) -> ExampleBatches:
        return ExampleBatches(dataset.file_pattern, schema=schema)

    @staticmethod
    @beam.ptransform_fn
    def _EncodeAndWrite(  # noqa: N802 - TFX's name
        batches: beam.PCollection,
        schema: schema_pb2.Schema,
        file_format: str,
        output_path: str,
    ) -> beam.PCollection:
        return (
            batches
            | "Encode" >> beam.Map(_encoded, RecordBatchToExamplesEncoder(schema))
            | "Write" >> beam.io.Write(ExampleSink(output_path))
        )


def _encoded(
    batch: tuple[pa.RecordBatch, dict[str, pa.Array]],
    encoder: RecordBatchToExamplesEncoder,
) -> list[bytes]:
    rows: list[bytes] = encoder.encode(batch[0])
    return rows


class Executor(executor.Executor):
    """The stock executor with `_Processor`."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Called by TFX."""
        stock = executor.TransformProcessor
        # The stock executor makes one by this name, and has no other way to choose it.
        executor.TransformProcessor = _Processor
        try:
            super().Do(input_dict, output_dict, exec_properties)
        finally:
            executor.TransformProcessor = stock


class RetrievalTransform(Transform):
    """The stock component with `Executor`; its outputs have the stock layout."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        preprocessing_fn: str,
        splits_config: transform_pb2.SplitsConfig,
        custom_config: dict[str, Any],
    ) -> None:
        """Makes the node `Transform`; see TFX's component for the parameters."""
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn=preprocessing_fn,
            splits_config=splits_config,
            custom_config=custom_config,
            # StatisticsGen has the statistics of the data; nobody needs those of
            # indices.
            disable_statistics=True,
            # No run reads it, and writing it takes a sixth of the step's CPU time.
            disable_analyzer_cache=True,
        )
        self.with_id("Transform")
