"""RetrievalStatisticsGen: TFX's StatisticsGen, made for long lists of ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import io_utils, json_utils
from tfx_bsl.statistics import merge_util

from components.example_batches import read_batches
from components.statistics_gen.top_values import generators


class Executor(base_beam_executor.BaseBeamExecutor):
    """Computes TFDV's statistics of each split.

    It stands in for the executor of TFX's StatisticsGen, which accepts no generators:
    see `components.statistics_gen.top_values`.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Called by TFX."""
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(input_dict[specs.EXAMPLES_KEY])
        statistics = artifact_utils.get_single_instance(
            output_dict[specs.STATISTICS_KEY]
        )
        excluded = json_utils.loads(exec_properties[specs.EXCLUDE_SPLITS_KEY])
        splits = artifact_utils.decode_split_names(examples.split_names)
        splits = [split for split in splits if split not in excluded]
        statistics.split_names = artifact_utils.encode_split_names(splits)
        statistics.span = examples.span
        options = exec_properties.get(specs.STATS_OPTIONS_JSON_KEY)
        combine = _Statistics(
            tfdv.StatsOptions.from_json(options) if options else tfdv.StatsOptions()
        )
        files = [
            (artifact_utils.get_split_uri([statistics], split), path)
            for split in splits
            for path in _files(artifact_utils.get_split_uri([examples], split))
        ]
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(files)
                | "SpreadOverWorkers" >> beam.Reshuffle()
                | "ReadBatches" >> beam.FlatMapTuple(_batches)
                | "GenerateStatistics" >> beam.CombinePerKey(combine)
                | "WriteStatistics" >> beam.MapTuple(_write)
            )


def _files(folder: str) -> list[str]:
    return sorted(fileio.glob(io_utils.all_files_pattern(folder)))


def _batches(folder: str, path: str) -> Iterator[tuple[str, pa.RecordBatch | None]]:
    yield folder, None  # a split without rows has statistics as well
    for batch in read_batches(path):
        yield folder, batch


class _Statistics(beam.CombineFn):
    """Combines batches to statistics, as TFDV's `GenerateStatistics` does.

    That makes some fifty transforms for each split, and takes seconds to run them on a
    few rows.

    Args:
      options: See `components.statistics_gen.top_values.generators`.
    """

    def __init__(self, options: tfdv.StatsOptions) -> None:
        self._generators = generators(options)

    def setup(self) -> None:
        for generator in self._generators:
            generator.setup()

    def create_accumulator(self) -> list[Any]:
        return [each.create_accumulator() for each in self._generators]

    def add_input(
        self, accumulator: list[Any], batch: pa.RecordBatch | None
    ) -> list[Any]:
        if batch is None:
            return accumulator
        pairs = zip(self._generators, accumulator, strict=True)
        return [generator.add_input(part, batch) for generator, part in pairs]

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        parts = zip(*accumulators, strict=True)
        pairs = zip(self._generators, parts, strict=True)
        return [generator.merge_accumulators(part) for generator, part in pairs]

    def compact(self, accumulator: list[Any]) -> list[Any]:
        pairs = zip(self._generators, accumulator, strict=True)
        return [generator.compact(part) for generator, part in pairs]

    def extract_output(self, accumulator: list[Any]) -> bytes:
        """Returns a serialized `DatasetFeatureStatisticsList`."""
        pairs = zip(self._generators, accumulator, strict=True)
        found = [generator.extract_output(part) for generator, part in pairs]
        merged = merge_util.merge_dataset_feature_statistics(found)
        serialized: bytes = merged.SerializeToString()
        return serialized


def _write(folder: str, statistics: bytes) -> None:
    io_utils.write_bytes_file(f"{folder}/{DEFAULT_FILE_NAME}", statistics)


class RetrievalStatisticsGen(StatisticsGen):
    """Statistics of each split in the stock layout, `Split-<name>/FeatureStats.pb`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        stats_options: tfdv.StatsOptions | None,
        exclude_splits: list[str],
    ) -> None:
        """Makes the node `StatisticsGen`.

        Args:
          examples: `Examples` of serialized `tf.train.Example`.
          stats_options: Numbers of buckets; None for TFDV's defaults.
          exclude_splits: Splits without statistics.
        """
        super().__init__(
            examples=examples,
            stats_options=stats_options,
            exclude_splits=exclude_splits,
        )
        self.with_id("StatisticsGen")
