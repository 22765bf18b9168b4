"""Which folders are read: one, or a window of spans."""

from __future__ import annotations

from pathlib import Path

from components.movielens_example_gen import editions
from components.movielens_example_gen.reader import SpanFiles
from pipeline.config import DataConfig
from pipeline.errors import UserError


def resolve(base: Path, config: DataConfig) -> tuple[SpanFiles, ...]:
    """Finds the files that the configuration asks for.

    Args:
      base: The folder of an edition.
      config: What to read.

    Returns:
      The files, oldest span first.

    Raises:
      UserError: A folder or file is missing.
    """
    return (SpanFiles(0, _files_in(base)),)


def _files_in(folder: Path) -> editions.FolderFiles:
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder",
            "Give the folder with the MovieLens files, or run `two-tower data fetch`.",
        )
    files = editions.find_files(folder)
    if files is None:
        raise UserError(
            f"{folder} holds no MovieLens files",
            f"Looked for {editions.expected_files()}.",
        )
    for found, patterns in (
        (files.ratings, files.family.ratings),
        (files.movies, files.family.movies),
    ):
        if not found:
            raise UserError(
                f"{folder} has no {' or '.join(patterns)}",
                f"Add the missing file: the format is {files.family.name}.",
            )
    return files
