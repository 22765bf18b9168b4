"""Executor of RetrievalExampleValidator."""

from __future__ import annotations

import os
from typing import Any, Final

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.example_validator import executor as stock
from tfx.components.example_validator import labels
from tfx.types import standard_component_specs as specs
from tfx.utils import writer_utils

_SPLIT_FOLDER_PREFIX: Final = "Split-"


class Executor(stock.Executor):
    """The stock executor, with the split's name as schema environment.

    The stock one validates every split against the whole schema, so a feature that
    belongs to one split is either missing in the others or not required anywhere.
    """

    def _Validate(
        self, inputs: dict[str, Any], outputs: dict[str, Any]
    ) -> anomalies_pb2.Anomalies:
        folder: str = outputs[labels.SCHEMA_DIFF_PATH]
        split = os.path.basename(folder).removeprefix(_SPLIT_FOLDER_PREFIX)
        anomalies = tfdv.validate_statistics(
            statistics=inputs[specs.STATISTICS_KEY],
            schema=inputs[specs.SCHEMA_KEY],
            environment=split,
        )
        writer_utils.write_anomalies(
            os.path.join(folder, stock.DEFAULT_FILE_NAME), anomalies
        )
        return anomalies
