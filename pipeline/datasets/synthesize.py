"""Makes up ratings in MovieLens' formats, with a taste that a model can find.

Every user has a few favourite groups of movies, and rates movies of those groups far
more often than others. Movies' popularity follows a power law, activity a log-normal
one, and a user's ratings come in a few sittings, as in the real data. Equal arguments
give equal files.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from pipeline.datasets.synthesis_config import GENRES, SynthesisConfig
from pipeline.datasets.synthetic_taste import group_of, rating_blocks
from trainer.errors import UserError

_OCCUPATIONS: Final = ("artist", "engineer", "librarian", "student", "writer")
_ML_100K_GENRES: Final = 19
# Place of each genre among u.item's flags.
_ML_100K_COLUMN: Final = {
    "Action": 1,
    "Animation": 3,
    "Comedy": 5,
    "Crime": 6,
    "Documentary": 7,
    "Drama": 8,
    "Horror": 11,
    "Musical": 12,
    "Romance": 14,
    "Sci-Fi": 15,
}


def synthesize(folder: Path, config: SynthesisConfig) -> int:
    """Writes the files of an edition into `folder`, which must not exist.

    Returns:
      The number of ratings written.

    Raises:
      UserError: The folder exists or cannot be written.
    """
    if folder.exists():
        raise UserError(f"{folder} exists", "Give a new folder, or delete that one.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        ready = temporary / folder.name
        ready.mkdir()
        _write_movies(ready, config)
        if config.format == "ml-100k":
            _write_users(ready, config)
        written = _write_ratings(ready, config)
        ready.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return written


def _title(movie: int) -> str:
    # A comma, so that the CSV writer and every reader meet a quoted title.
    suffix = ", The" if movie % 7 == 0 else ""
    return f"Movie {movie + 1}{suffix} ({1930 + movie % 90})"


def _write_movies(folder: Path, config: SynthesisConfig) -> None:
    name, encoding = (
        ("u.item", "latin-1") if config.format == "ml-100k" else ("movies.csv", "utf-8")
    )
    with open(folder / name, "w", encoding=encoding, newline="") as out:
        if config.format == "csv":
            out.write("movieId,title,genres\r\n")
        for movie in range(config.movies):
            genre = GENRES[group_of(movie, config)]
            if config.format == "csv":
                out.write(f'{movie + 1},"{_title(movie)}",{genre}\r\n')
                continue
            flags = ["0"] * _ML_100K_GENRES
            flags[_ML_100K_COLUMN[genre]] = "1"
            out.write(f"{movie + 1}|{_title(movie)}|01-Jan-1995|||{'|'.join(flags)}\n")


def _write_users(folder: Path, config: SynthesisConfig) -> None:
    with open(folder / "u.user", "w", encoding="latin-1") as out:
        for user in range(config.users):
            gender = "FM"[user % 2]
            occupation = _OCCUPATIONS[user % len(_OCCUPATIONS)]
            row = (user + 1, 18 + user % 50, gender, occupation, f"{user % 10**5:05d}")
            out.write("|".join(map(str, row)) + "\n")


def _write_ratings(folder: Path, config: SynthesisConfig) -> int:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    is_csv = config.format == "csv"
    name, delimiter = ("ratings.csv", ",") if is_csv else ("u.data", "\t")
    written = 0
    with open(folder / name, "wb") as out:
        if is_csv:
            out.write(b"userId,movieId,rating,timestamp\n")
        options = pa_csv.WriteOptions(include_header=False, delimiter=delimiter)
        for users, movies, ratings, timestamps in rating_blocks(config):
            stars = ratings if is_csv else ratings.astype("int64")
            columns = [pa.array(c) for c in (users, movies, stars, timestamps)]
            table = pa.table(columns, names=["u", "m", "r", "t"])
            pa_csv.write_csv(table, out, options)
            written += len(users)
    return written
