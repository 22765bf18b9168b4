"""The MovieLens file formats, and which one a folder holds.

Three families of formats cover all editions: tab and `|` (ML-100K), `::` (ML-1M,
ML-10M), and CSV with a header (ML-20M and later, and users' own ratings). The family is
recognised by the names of the files, so that the user need not name the edition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer.errors import UserError
from trainer.movielens import HALF_STARS, WHOLE_STARS, RatingScale

USER, MOVIE, RATING, TIMESTAMP = "user_id", "movie_id", "rating", "timestamp"
RATING_COLUMNS: Final = (USER, MOVIE, RATING, TIMESTAMP)

# Our column name to the name in the header of MovieLens' CSV files.
CSV_HEADER: Final[Mapping[str, str]] = {
    USER: "userId",
    MOVIE: "movieId",
    RATING: "rating",
    TIMESTAMP: "timestamp",
    "title": "title",
    "genres": "genres",
}


@dataclass(frozen=True)
class Family:
    """One of the three file formats.

    Attributes:
      name: For messages.
      ratings, movies, users: Patterns of the files' names; `users` is empty where the
        family has no such file.
      delimiter: Between the columns of a ratings file.
      attribute_delimiter: Between the columns of a movies or users file.
      encoding: Of all text files.
      has_header: Whether the first line names the columns.
    """

    name: str
    ratings: tuple[str, ...]
    movies: tuple[str, ...]
    users: tuple[str, ...]
    delimiter: str
    attribute_delimiter: str
    encoding: str
    has_header: bool


# Ratings and movies may come in parts: "ratings-00000-of-00004.csv", "u.data-1".
TAB: Final = Family(
    "ml-100k (u.data, u.item)",
    ("u.data", "u.data-*"),
    ("u.item",),
    ("u.user",),
    "\t",
    "|",
    "latin-1",
    False,
)
DOUBLE_COLON: Final = Family(
    "ml-1m or ml-10m (ratings.dat, movies.dat)",
    ("ratings.dat", "ratings-*.dat"),
    ("movies.dat", "movies-*.dat"),
    ("users.dat", "users-*.dat"),
    "::",
    "::",
    "latin-1",
    False,
)
CSV: Final = Family(
    "CSV (ratings.csv, movies.csv)",
    ("ratings.csv", "ratings-*.csv"),
    ("movies.csv", "movies-*.csv"),
    (),
    ",",
    ",",
    "utf-8",
    True,
)
FAMILIES: Final = (TAB, DOUBLE_COLON, CSV)
# The file names that are looked for, for error messages.
EXPECTED_FILES: Final = "; ".join(family.name for family in FAMILIES)


@dataclass(frozen=True)
class FolderFiles:
    """The files of one family in one folder.

    Attributes:
      family: Their format.
      ratings, movies, users: Sorted by name; `users` is often empty.
    """

    family: Family
    ratings: tuple[Path, ...]
    movies: tuple[Path, ...]
    users: tuple[Path, ...]

    @property
    def scale(self) -> RatingScale:
        """The edition's rating scale. Of the `::` editions only ML-1M has users."""
        if self.family is TAB or (self.family is DOUBLE_COLON and self.users):
            return WHOLE_STARS
        return HALF_STARS


def _matching(folder: Path, patterns: tuple[str, ...]) -> tuple[Path, ...]:
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    # Object stores mark folders with empty files, which hold no data.
    return tuple(sorted(p for p in found if p.is_file() and p.stat().st_size > 0))


def find_files(folder: Path) -> FolderFiles | None:
    """Returns the MovieLens files directly in `folder`, or None if it has none.

    Raises:
      UserError: The folder holds files of two families, so that it is ambiguous
        which to read.
    """
    found = []
    for family in FAMILIES:
        ratings = _matching(folder, family.ratings)
        movies = _matching(folder, family.movies)
        if ratings or movies:
            users = _matching(folder, family.users)
            found.append(FolderFiles(family, ratings, movies, users))
    if len(found) > 1:
        names = " and ".join(files.family.name for files in found)
        raise UserError(
            f"{folder} holds files of two formats: {names}",
            "Keep the files of one edition only in the folder.",
        )
    return found[0] if found else None
