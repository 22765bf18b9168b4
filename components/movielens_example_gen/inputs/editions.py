"""The MovieLens file formats, and which one a folder holds.

Families of formats cover all editions: tab and `|` (ML-100K), `::` (ML-1M, and ML-10M,
which has no users and is UTF-8), and CSV with a header (ML-20M and later, and users'
own ratings). The family is recognised by the names of the files, so that the user need
not name the edition. Each file may be compressed (`ratings.csv.gz`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from components.movielens_example_gen.inputs.file_names import matching
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
    """One of the file formats.

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
ML_1M: Final = Family(
    "ml-1m (ratings.dat, movies.dat, users.dat)",
    ("ratings.dat", "ratings-*.dat"),
    ("movies.dat", "movies-*.dat"),
    ("users.dat", "users-*.dat"),
    "::",
    "::",
    "latin-1",
    False,
)
ML_10M: Final = replace(
    ML_1M, name="ml-10m (ratings.dat, movies.dat)", users=(), encoding="utf-8"
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
# ML-10M is recognised as ML-1M without users.
FAMILIES: Final = (TAB, ML_1M, CSV)
# The file names that are looked for, for error messages.
EXPECTED_FILES: Final = "; ".join(family.name for family in (TAB, ML_1M, ML_10M, CSV))


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
        """The edition's rating scale."""
        return WHOLE_STARS if self.family in (TAB, ML_1M) else HALF_STARS


def find_files(folder: Path) -> FolderFiles | None:
    """Returns the MovieLens files directly in `folder`, or None if it has none.

    Raises:
      UserError: The folder holds files of two families, or `matching` refuses them.
    """
    found = []
    for family in FAMILIES:
        ratings = matching(folder, family.ratings)
        movies = matching(folder, family.movies)
        if ratings or movies:
            users = matching(folder, family.users)
            edition = ML_10M if family is ML_1M and not users else family
            found.append(FolderFiles(edition, ratings, movies, users))
    if len(found) > 1:
        names = " and ".join(files.family.name for files in found)
        raise UserError(
            f"{folder} holds files of two formats: {names}",
            "Keep the files of one edition only in the folder.",
        )
    return found[0] if found else None


def of_one_edition(folders: Sequence[FolderFiles]) -> list[FolderFiles]:
    """Takes all spans for ML-1M if one of them has users: the others need not."""
    if not any(files.family is ML_1M for files in folders):
        return list(folders)
    return [
        replace(files, family=ML_1M) if files.family is ML_10M else files
        for files in folders
    ]
