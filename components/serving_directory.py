"""Reads the serving directory: the version that is served, and files of a version."""

from __future__ import annotations

import logging
import os
import re
from typing import Final

from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.io import fileio

from trainer.errors import UserError

# Within a version: statistics of the train split that its model was trained on.
STATISTICS_FILE: Final = "assets.extra/train_statistics.pb"

_LOG: Final = logging.getLogger(__name__)


def latest_version(serving_dir: str) -> str | None:
    """Returns the version that a TensorFlow Serving of `serving_dir` would serve.

    Args:
      serving_dir: Directory whose numeric subdirectories are versions.

    Returns:
      Name of the highest version that is complete, that is, has a `saved_model.pb`;
      None if no version is complete or the directory does not exist.
    """
    if not fileio.isdir(serving_dir):
        return None
    # Object stores name directories with a trailing slash.
    names = [name.rstrip("/") for name in fileio.listdir(serving_dir)]
    versions = [name for name in names if re.fullmatch("[0-9]+", name)]
    for name in sorted(versions, key=int, reverse=True):
        if fileio.exists(os.path.join(serving_dir, name, "saved_model.pb")):
            return name
        _LOG.warning("Version %s in %s is not complete.", name, serving_dir)
    return None


def train_statistics(
    version_dir: str,
) -> statistics_pb2.DatasetFeatureStatisticsList | None:
    """Reads the statistics that Pusher stored with a version.

    Args:
      version_dir: The version's folder.

    Returns:
      None if the version has no statistics, because another program or an older Pusher
      pushed it.

    Raises:
      UserError: The file cannot be parsed.
    """
    path = os.path.join(version_dir, STATISTICS_FILE)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "rb") as file:
        content = file.read()
    try:
        return statistics_pb2.DatasetFeatureStatisticsList.FromString(content)
    except DecodeError:
        raise UserError(
            f"{path} is damaged: it cannot be parsed as statistics",
            "Restore it, or delete it to run without the check for drift.",
        ) from None
