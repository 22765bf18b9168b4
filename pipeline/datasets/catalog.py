"""The MovieLens editions: archives, published checksums and the files to unpack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from trainer.errors import UsageError

GROUPLENS_URL: Final = "https://files.grouplens.org/datasets/movielens/"
LICENCE_NOTE: Final = (
    "MovieLens data comes under GroupLens' own licence: see the README of the edition "
    "at https://grouplens.org/datasets/movielens/."
)


@dataclass(frozen=True)
class CatalogEntry:
    """One edition as GroupLens publishes it.

    Attributes:
      name: As in the archive's name.
      md5: Of the archive; None if the edition changes with time, and the checksum
        that is published beside the archive must be fetched.
      files: The files to unpack, without the archive's folder.
      file_md5: Checksums of the files, for sources other than the archive.
      ratings, users, movies: The published counts (ml-latest-small: of 2018); 0 if they
        change with time.
      sha256: Of an archive of 2018 that stays valid without network.
    """

    name: str
    md5: str | None
    files: tuple[str, ...]
    ratings: int = 0
    users: int = 0
    movies: int = 0
    file_md5: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None

    @property
    def archive(self) -> str:
        """File name of the archive."""
        return f"{self.name}.zip"

    @property
    def url(self) -> str:
        """Address of the archive at GroupLens."""
        return GROUPLENS_URL + self.archive


_DAT = ("ratings.dat", "movies.dat")
_CSV = ("ratings.csv", "movies.csv")

_ENTRIES: Final = (
    CatalogEntry(
        "ml-100k",
        "0e33842e24a9c977be4e0107933c0723",
        ("u.data", "u.item", "u.user"),
        100_000,
        943,
        1_682,
        {
            "u.data": "6e47046882bad158b0efbb84cd5cb987",
            "u.item": "c9e7f390115d79079537301d5204f3f7",
            "u.user": "1b53539edc13caad0282c8500608a319",
        },
    ),
    CatalogEntry(
        "ml-1m",
        "c4d9eecfca2ab87c1945afe126590906",
        (*_DAT, "users.dat"),
        1_000_209,
        6_040,
        3_883,
    ),
    CatalogEntry(
        "ml-10m", "ce571fd55effeba0271552578f2648bd", _DAT, 10_000_054, 69_878, 10_681
    ),
    CatalogEntry(
        "ml-20m", "cd245b17a1ae2cc31bb14903e1204af3", _CSV, 20_000_263, 138_493, 27_278
    ),
    CatalogEntry(
        "ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada", _CSV, 25_000_095, 162_541, 62_423
    ),
    CatalogEntry(
        "ml-32m", "d472be332d4daa821edc399621853b57", _CSV, 32_000_204, 200_948, 87_585
    ),
    CatalogEntry(
        "ml-latest-small",
        None,
        _CSV,
        100_836,
        610,
        9_742,
        sha256="696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
    ),
    CatalogEntry("ml-latest", None, _CSV),
)

CATALOG: Final[Mapping[str, CatalogEntry]] = {entry.name: entry for entry in _ENTRIES}


def entry(name: str) -> CatalogEntry:
    """Returns the edition with a name.

    Raises:
      UsageError: No edition has that name.
    """
    if name not in CATALOG:
        raise UsageError(
            f"unknown dataset {name!r}",
            f"Known: {', '.join(CATALOG)}; for your own files give --data-dir.",
        )
    return CATALOG[name]
