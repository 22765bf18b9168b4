"""What the checks of DataGate read."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.statistics_gen import stats_artifact_utils

from components.data_gate.config import DataGateConfig
from components.data_gate.divergence import Statistics
from components.serving_directory import Reference, drift_reference
from trainer.features import TRAIN_SPLIT


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

    @functools.cached_property
    def reference(self) -> Reference | None:
        """What the train split is compared with; None if there is nothing."""
        return find_reference(self.statistics, self.serving_dir)

    @property
    def reference_key(self) -> str:
        """See the function of this name."""
        return reference_key(self.reference)

    def split_statistics(self, split: str) -> Statistics:
        """Reads the statistics of the split."""
        return stats_artifact_utils.load_statistics(self.statistics, split).proto()


def find_reference(statistics: types.Artifact, serving_dir: str) -> Reference | None:
    """Finds what the train split of the statistics is compared with.

    Raises:
      UserError: The serving directory cannot be read.
    """
    return drift_reference(serving_dir, serialized_statistics(statistics))


def serialized_statistics(statistics: types.Artifact) -> bytes:
    """Returns the statistics of the train split, always the same bytes for the same."""
    train = stats_artifact_utils.load_statistics(statistics, TRAIN_SPLIT).proto()
    content: bytes = train.SerializeToString(deterministic=True)
    return content


def reference_key(reference: Reference | None) -> str:
    """Returns what decides on the comparison, for the cache."""
    if reference is None:
        return "none"
    digest = hashlib.blake2b(reference.statistics or b"", digest_size=16)
    return f"{reference.version}@{digest.hexdigest()}"
