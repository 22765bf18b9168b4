"""What the checks of DataGate read."""

from __future__ import annotations

import dataclasses

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.statistics_gen import stats_artifact_utils

from components.data_gate.config import DataGateConfig
from components.data_gate.divergence import Statistics


@dataclasses.dataclass(frozen=True)
class GateInputs:
    """The artifacts, the bounds and the live version, for all checks.

    Attributes:
      examples: `Examples` with the three splits.
      statistics: `ExampleStatistics` of them.
      anomalies: `ExampleAnomalies` of the statistics.
      schema: The curated schema.
      config: The bounds.
      serving_dir: Folder with the live version.
      needs_title_words: Whether words of titles are to have an embedding.
    """

    examples: types.Artifact
    statistics: types.Artifact
    anomalies: types.Artifact
    schema: schema_pb2.Schema
    config: DataGateConfig
    serving_dir: str
    needs_title_words: bool

    def split_statistics(self, split: str) -> Statistics:
        """Reads the statistics of the split."""
        return stats_artifact_utils.load_statistics(self.statistics, split).proto()
