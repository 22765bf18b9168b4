"""Which MovieLens files a run reads, and the hash of their content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import DataConfig
from pipeline.datasets import catalog
from pipeline.datasets.fetch import fetch
from pipeline.runs.workspace import Workspace
from trainer.errors import UsageError


@dataclass(frozen=True)
class DataSource:
    """Files on this disk that were found to be complete.

    Attributes:
      folder: Where they lie, absolute.
      origin: Where they came from, for people.
      fingerprint: Hash of what the configuration makes the run read.
    """

    folder: Path
    origin: str
    fingerprint: str


def check(config: DataConfig, data_dir: Path | None) -> None:
    """Refuses what cannot be meant, before anything is made.

    Raises:
      UsageError: The edition is unknown, or `data_dir` is no folder.
    """
    if data_dir is None:
        catalog.entry(config.dataset)
    elif not data_dir.is_dir():
        raise UsageError(
            f"--data-dir {data_dir} is not a folder",
            "Give the folder with the MovieLens files, or leave the option out to "
            "fetch them.",
        )


def resolve(
    config: DataConfig,
    workspace: Workspace,
    data_dir: Path | None,
    say: Callable[[str], None],
) -> DataSource:
    """Takes the user's folder, or fetches the edition into the workspace.

    Args:
      config: Names the edition.
      workspace: Where a fetched edition is kept.
      data_dir: The user's folder; None to fetch.
      say: Is told in one line what happens.

    Raises:
      UserError: It cannot be fetched, a checksum is wrong or a file is missing.
    """
    from components.movielens_example_gen.inputs.spans import content_fingerprint

    if data_dir is None:
        fetched = fetch(config.dataset, workspace.data_dir(config.dataset).parent, say)
        folder, origin = fetched.folder, fetched.source
    else:
        folder, origin = data_dir, "--data-dir"
    folder = folder.absolute()
    return DataSource(folder, origin, content_fingerprint(folder, config))
