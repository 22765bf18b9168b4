"""Object stores and the folders by which Kubeflow's launcher mirrors them.

TensorFlow opens neither `minio://` nor `s3://`. The launcher downloads a step's inputs
to a folder before, and uploads its outputs from there after, so a step works on these.
At `gs://` it does so too: what TensorFlow itself writes there leaves empty objects in
place of folders, on which the next step's download fails.
https://github.com/kubeflow/pipelines/issues/13476
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT_ENV: Final = "TWO_TOWER_MIRROR_ROOT"
# Scheme -> folder (`LocalPathForURI` of the launcher).
_FOLDERS: Final = {"minio": "minio", "s3": "s3", "gs": "gcs"}
# How stores that know no folders mark one.
_FOLDER_MARK: Final = "_$folder$"


def local_path(uri: str) -> str:
    """The mirror of a URI; any other path as it is."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in _FOLDERS:
        return uri
    return os.path.join(os.environ.get(ROOT_ENV, "/"), _FOLDERS[scheme], rest)


def remove_folder_marks(folder: Path) -> list[Path]:
    """Removes the empty files that stand for folders.

    A reader that takes all files of a folder would choke on them.

    Returns:
      What was removed.
    """
    marks = [
        path
        for path in folder.rglob(f"*{_FOLDER_MARK}")
        if path.is_file() and path.stat().st_size == 0
    ]
    for path in marks:
        path.unlink()
    return marks
