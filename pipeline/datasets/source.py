"""The MovieLens files that a run reads, and the fingerprint of their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.movielens_example_gen.inputs.spans import content_fingerprint
from pipeline.config import DataConfig
from pipeline.datasets import catalog
from pipeline.datasets.download import Report
from pipeline.datasets.fetch import fetch
from pipeline.runs.paths import check_path
from pipeline.runs.workspace import Workspace
from trainer.errors import UsageError, UserError


@dataclass(frozen=True)
class DataSource:
    """Files on this disk, found to be complete.

    Attributes:
      folder: Their folder, absolute.
      origin: Where they came from, for people.
      fingerprint: Digest of the files that the configuration selects.
    """

    folder: Path
    origin: str
    fingerprint: str


def check(config: DataConfig, data_dir: Path | None) -> None:
    """Checks the choice of data, before anything is written.

    Raises:
      UsageError: The edition is unknown, or `data_dir` is not a folder.
    """
    if data_dir is None:
        catalog.entry(config.dataset)
    elif not data_dir.is_dir():
        raise UsageError(
            f"--data-dir {data_dir} is not a folder",
            "Give the folder with the MovieLens files, or omit the option to fetch "
            "them.",
        )


def existing_folder(config: DataConfig, workspace: Path, data_dir: Path | None) -> Path:
    """Returns the folder with the files, without fetching them.

    Args:
      config: Names the edition.
      workspace: Root of the workspace to which editions are fetched.
      data_dir: The user's folder; None for the edition in the workspace.

    Raises:
      UsageError: The edition is unknown, or `data_dir` is not a folder.
      UserError: The edition was not fetched yet.
    """
    check(config, data_dir)
    folder = data_dir or Workspace.open(workspace).data_dir / config.dataset
    if not folder.is_dir():
        raise UserError(
            f"{config.dataset} is not in the workspace {workspace}",
            f"Run `two-tower data fetch {config.dataset}`, or give --data-dir.",
        )
    return folder


def resolve(
    config: DataConfig,
    workspace: Workspace,
    data_dir: Path | None,
    report: Report,
) -> DataSource:
    """Finds the files in the user's folder, or fetches them into the workspace.

    Args:
      config: Names the edition.
      workspace: Where a fetched edition is kept.
      data_dir: The user's folder; None to fetch.
      report: Called with one line of text about progress.

    Raises:
      UserError: It cannot be fetched, a checksum is wrong or a file is missing.
    """
    folder, origin = data_dir, "--data-dir"
    if folder is not None:
        check_path(folder, "--data-dir")
    else:
        folder = workspace.data_dir / config.dataset
        origin = fetch(config.dataset, folder.parent, report)
    folder = folder.absolute()
    return DataSource(folder, origin, content_fingerprint(folder, config))
