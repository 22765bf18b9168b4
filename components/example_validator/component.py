"""RetrievalExampleValidator: TFX's ExampleValidator with one environment per split."""

from __future__ import annotations

import os
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor, labels
from tfx.components.example_validator.component import ExampleValidator
from tfx.dsl.components.base import executor_spec
from tfx.types import standard_component_specs as specs
from tfx.utils import writer_utils


class Executor(executor.Executor):
    """The stock executor, with the split's name as schema environment.

    The stock one validates every split against the whole schema, so a feature that
    belongs to one split is either missing in the others or not required anywhere.
    """

    def _Validate(
        self, inputs: dict[str, Any], outputs: dict[str, Any]
    ) -> anomalies_pb2.Anomalies:
        folder: str = outputs[labels.SCHEMA_DIFF_PATH]
        split = os.path.basename(folder).removeprefix("Split-")
        anomalies = tfdv.validate_statistics(
            statistics=inputs[specs.STATISTICS_KEY],
            schema=inputs[specs.SCHEMA_KEY],
            environment=split,
        )
        writer_utils.write_anomalies(
            os.path.join(folder, executor.DEFAULT_FILE_NAME), anomalies
        )
        return anomalies


class RetrievalExampleValidator(ExampleValidator):
    """Validates the statistics of each split in the environment of its name.

    The output has the stock layout, `Split-<name>/SchemaDiff.pb`, so that
    readers of TFX's anomalies can read it. Anomalies do not fail this step: DataGate
    decides.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, *, statistics: types.BaseChannel, schema: types.BaseChannel
    ) -> None:
        """Makes the node `ExampleValidator`.

        Args:
          statistics: `ExampleStatistics` of all splits.
          schema: `Schema` whose environments are the splits' names.
        """
        super().__init__(statistics=statistics, schema=schema)
        self.with_id("ExampleValidator")
