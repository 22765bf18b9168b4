"""RetrievalTransform: TFX's Transform, in few Beam transforms."""

from __future__ import annotations

import functools
import os
from typing import Any, Final

import apache_beam as beam
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata
from tfx import types
from tfx.components.transform.component import Transform
from tfx.components.util import udf_utils
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.proto import transform_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import io_utils, json_utils, proto_utils

from components.example_batches import ExampleBatches
from components.transform.transformed_files import TransformFile

_TEMPORARY: Final = ".temp_path"
_FILE: Final = "transformed_examples-{:05d}-of-{:05d}.gz"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Computes the Transform graph from some splits and applies it to all files.

    It stands in for the executor of TFX's Transform and writes what that writes. The
    stock one traces the graph seven times, loads it for each split, and makes hundreds
    of Beam transforms for it, which is most of the time of a small run.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Called by TFX."""
        self._log_startup(input_dict, output_dict, exec_properties)
        config = transform_pb2.SplitsConfig()
        proto_utils.json_to_proto(exec_properties[specs.SPLITS_CONFIG_KEY], config)
        examples = input_dict[specs.EXAMPLES_KEY]
        transformed = output_dict[specs.TRANSFORMED_EXAMPLES_KEY]
        for artifact in transformed:
            artifact.split_names = artifact_utils.encode_split_names(
                list(config.transform)
            )
        uri = artifact_utils.get_split_uri
        files = [
            paths
            for split in config.transform
            for paths in _files(uri(examples, split), uri(transformed, split))
        ]
        patterns = [
            io_utils.all_files_pattern(uri(examples, split)) for split in config.analyze
        ]
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(
                artifact_utils.get_single_uri(input_dict[specs.SCHEMA_KEY])
            )
        )
        function = functools.partial(
            udf_utils.get_fn(exec_properties, specs.PREPROCESSING_FN_KEY),
            custom_config=json_utils.loads(exec_properties[specs.CUSTOM_CONFIG_KEY]),
        )
        folder = artifact_utils.get_single_uri(output_dict[specs.TRANSFORM_GRAPH_KEY])
        temporary = os.path.join(folder, _TEMPORARY)
        with (
            self._make_beam_pipeline() as pipeline,
            tft_beam.Context(temporary, use_deep_copy_optimization=True),
        ):
            _add_transform(
                *(pipeline, patterns, files, schema),
                function=function,
                folder=folder,
                temporary=temporary,
            )
        io_utils.delete_dir(temporary)


def _files(source: str, target: str) -> list[tuple[str, str]]:
    """Returns the files of a split, each with the file that is made of it."""
    found = sorted(fileio.glob(io_utils.all_files_pattern(source)))
    return [
        (path, os.path.join(target, _FILE.format(number, len(found))))
        for number, path in enumerate(found)
    ]


def _add_transform(
    pipeline: beam.Pipeline,
    patterns: list[str],
    files: list[tuple[str, str]],
    schema: schema_pb2.Schema,
    *,
    function: Any,
    folder: str,
    temporary: str,
) -> None:
    """Adds what computes the Transform graph, and what applies it.

    Args:
      pipeline: Within a context of TFT.
      patterns: Files of the rows to analyze.
      files: Each file to transform, and the one to write.
      schema: Of the rows.
      function: The `preprocessing_fn`.
      folder: Where the graph is written as `TFTransformOutput`.
      temporary: Folder of unfinished files.
    """
    source = ExampleBatches(patterns, schema=schema)
    types_ = source.TensorAdapter().OriginalTypeSpecs()
    analyzed = source.Project(tft.get_analyze_input_columns(function, types_))
    batches = pipeline | "ReadAnalyzed" >> analyzed.BeamSource()
    graph = (batches, analyzed.TensorAdapterConfig()) | (
        "Analyze" >> tft_beam.AnalyzeDataset(function)
    )
    _ = graph | tft_beam.WriteTransformFn(folder)
    raw = os.path.join(folder, tft.TFTransformOutput.RAW_METADATA_DIR)
    _ = DatasetMetadata(schema) | tft_beam.WriteMetadata(raw, pipeline)
    path, metadata = graph
    transform = TransformFile(schema, metadata.schema, temporary)
    _ = (
        pipeline
        | "Files" >> beam.Create(files)
        | "SpreadOverWorkers" >> beam.Reshuffle()
        | "TransformFiles" >> beam.ParDo(transform, beam.pvalue.AsSingleton(path))
    )


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
