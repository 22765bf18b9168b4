"""What the data of a run is compared with: that of the live version."""

from __future__ import annotations

import dataclasses
import os

from components import storage
from components.serving_directory.labels import live_version
from components.serving_directory.layout import REFERENCE_FILE, STATISTICS_FILE
from components.serving_directory.pushes import read_push


@dataclasses.dataclass(frozen=True)
class Reference:
    """What the distributions of new data are compared with.

    Attributes:
      version: The version that was trained on it.
      statistics: `DatasetFeatureStatisticsList`, serialized; None if the version came
        without.
    """

    version: str
    statistics: bytes | None


def drift_reference(serving_dir: str, statistics: bytes) -> Reference | None:
    """Returns what the distributions of new data are to be compared with.

    That is the data of the live version. Where that is this very data, it is what the
    live version's data was compared with before, so that a run whose model was pushed
    comes to the same decision when it is repeated.

    Args:
      serving_dir: The serving directory.
      statistics: Those of the new data, serialized deterministically.

    Returns:
      None if there is nothing to compare with.

    Raises:
      UserError: The directory cannot be read.
    """
    version = live_version(serving_dir)
    if version is None:
        return None
    folder = os.path.join(serving_dir, version)
    live = storage.read(os.path.join(folder, STATISTICS_FILE))
    push = read_push(folder)
    if live != statistics or push is None:
        return Reference(version, live)
    if push.compared_with is None:
        return None
    path = os.path.join(folder, REFERENCE_FILE)
    return Reference(push.compared_with, storage.read(path))
