"""The TFX component that turns MovieLens files into `Examples`."""

from __future__ import annotations

from google.protobuf import struct_pb2
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2

from components.movielens_example_gen import driver, executor, parameters
from components.movielens_example_gen.config import ExampleGenConfig
from trainer.features import SPLITS


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
    DRIVER_CLASS = driver.Driver

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
        super().__init__(
            input_base=input_base,
            input_config=_one_input(),
            output_config=_three_splits(),
            custom_config=custom_config,
            range_config=span,
        )


def _one_input() -> example_gen_pb2.Input:
    split = example_gen_pb2.Input.Split(name="movielens", pattern="*")
    return example_gen_pb2.Input(splits=[split])


def _three_splits() -> example_gen_pb2.Output:
    # Only the names count: the executor decides what goes where.
    splits = [
        example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=1) for name in SPLITS
    ]
    return example_gen_pb2.Output(
        split_config=example_gen_pb2.SplitConfig(splits=splits)
    )
