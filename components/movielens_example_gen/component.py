"""The TFX component that turns MovieLens files into `Examples`, and its driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import struct_pb2
from tfx.components.example_gen import driver, utils
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs

from components.movielens_example_gen import executor, parameters
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.inputs import spans
from trainer.features import SPLITS


class Driver(driver.FileBasedDriver):
    """Fingerprints the contents of all spans of the window.

    TFX's driver fingerprints a single span by size and modification time: a copied
    folder would be a cache miss, and a changed older span of the window a hit.
    """

    def resolve_exec_properties(
        self, exec_properties: dict[str, Any], pipeline_info: Any, component_info: Any
    ) -> dict[str, Any]:
        """Adds span, version and fingerprint to the properties, the cache key.

        Raises:
          UserError: The folder, a file or a span is missing.
        """
        del pipeline_info, component_info
        given = parameters.from_exec_properties(exec_properties)
        base = Path(exec_properties[standard_component_specs.INPUT_BASE_KEY])
        newest = spans.resolve(base, given.data)[-1]
        exec_properties[utils.SPAN_PROPERTY_NAME] = newest.span
        exec_properties[utils.VERSION_PROPERTY_NAME] = newest.version
        exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = (
            given.content_fingerprint or spans.content_fingerprint(base, given.data)
        )
        return exec_properties


class MovieLensExampleGen(FileBasedExampleGen):
    """Reads any MovieLens edition into the splits train, eval and corpus.

    A row of train is a window of a user's timeline, a row of eval a query with what was
    held out, a row of corpus a movie: see `trainer.features`. A custom property of the
    output accounts for every input row: see `data_summary.DataSummary`.

    Example:
      example_gen = MovieLensExampleGen("ml-25m", ExampleGenConfig(holdout=2))
      statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"])
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        input_base: str | RuntimeParameter,
        data_config: ExampleGenConfig,
        content_fingerprint: str = "",
        span: RuntimeParameter | None = None,
    ) -> None:
        """Makes the component.

        Args:
          input_base: Folder with the files of an edition, or with its spans.
          data_config: What is read, how it is split and how rows are cut.
          content_fingerprint: From `inputs.spans.content_fingerprint`; if empty, the
            driver computes it, from an input that need not exist before the run.
          span: Names the last span when a run is started; see `parameters`.
        """
        values = parameters.Parameters(data_config, content_fingerprint)
        # Numbers in a Struct come back as floats, so all of it travels as one string.
        struct = struct_pb2.Struct()
        struct[parameters.KEY] = parameters.to_json(values)
        custom_config = example_gen_pb2.CustomConfig()
        custom_config.custom_config.Pack(struct)
        files = example_gen_pb2.Input.Split(name="movielens", pattern="*")
        # Only the names count: the executor decides what goes where.
        split_config = example_gen_pb2.SplitConfig(
            splits=[{"name": name, "hash_buckets": 1} for name in SPLITS]
        )
        super().__init__(
            input_base=input_base,
            input_config=example_gen_pb2.Input(splits=[files]),
            output_config=example_gen_pb2.Output(split_config=split_config),
            custom_config=custom_config,
            range_config=span,
        )
