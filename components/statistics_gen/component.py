"""RetrievalStatisticsGen: TFX's StatisticsGen, made for long lists of ids."""

from __future__ import annotations

from typing import Any

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import io_utils, json_utils

from components.example_batches import ExampleBatches
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
        options = _options(exec_properties.get(specs.STATS_OPTIONS_JSON_KEY))
        with self._make_beam_pipeline() as pipeline:
            for split in splits:
                source = artifact_utils.get_split_uri([examples], split)
                written = artifact_utils.get_split_uri([statistics], split)
                _ = (
                    pipeline
                    | f"Read[{split}]"
                    >> ExampleBatches(io_utils.all_files_pattern(source)).BeamSource()
                    | f"GenerateStatistics[{split}]" >> tfdv.GenerateStatistics(options)
                    | f"WriteStatistics[{split}]"
                    >> tfdv.WriteStatisticsToBinaryFile(
                        f"{written}/{DEFAULT_FILE_NAME}"
                    )
                )


def _options(as_json: str | None) -> tfdv.StatsOptions:
    """Returns the options of the node, with our generators."""
    options = tfdv.StatsOptions.from_json(as_json) if as_json else tfdv.StatsOptions()
    options.generators = generators(options)
    options.add_default_generators = False
    return options


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
