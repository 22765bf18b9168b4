"""Writes synthetic ratings in MovieLens' formats, with a taste that a model can learn.

Every user has a few favourite groups of movies, and rates movies of those groups far
more often than others. As in the real data, the popularity of movies follows a power
law, the activity of users a log-normal distribution, and a user's ratings come in a few
sessions. Equal arguments give equal files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.datasets.complete_folder import complete_folder
from pipeline.datasets.synthetic_ratings import (
    GENRES,
    SynthesisConfig,
    group_of,
    rating_blocks,
)
from trainer.movielens import GENDERS, ML_100K_GENRES

_OCCUPATIONS: Final = ("artist", "engineer", "librarian", "student", "writer")


def synthesize(folder: Path, config: SynthesisConfig) -> int:
    """Writes the files of an edition into `folder`, which must not exist.

    Returns:
      The number of ratings written.

    Raises:
      UserError: The folder exists or cannot be written.
    """
    with complete_folder(folder) as new:
        _write_movies(new, config)
        if config.format == "ml-100k":
            _write_users(new, config)
        return _write_ratings(new, config)


def _write_movies(folder: Path, config: SynthesisConfig) -> None:
    is_csv = config.format == "csv"
    name = "movies.csv" if is_csv else "u.item"
    with open(folder / name, "w", encoding="ascii", newline="") as out:
        if is_csv:
            out.write("movieId,title,genres\r\n")
        for movie in range(config.movies):
            genre = GENRES[group_of(movie)]
            # Some titles have a comma, so that readers are tested with quoted titles.
            suffix = ", The" if movie % 7 == 0 else ""
            title = f"Movie {movie + 1}{suffix} ({1930 + movie % 90})"
            flags = "|".join("1" if name == genre else "0" for name in ML_100K_GENRES)
            if is_csv:
                out.write(f'{movie + 1},"{title}",{genre}\r\n')
            else:
                out.write(f"{movie + 1}|{title}|01-Jan-1995|||{flags}\n")


def _write_users(folder: Path, config: SynthesisConfig) -> None:
    with open(folder / "u.user", "w", encoding="latin-1") as out:
        for user in range(config.users):
            gender = GENDERS[user % 2]
            occupation = _OCCUPATIONS[user % len(_OCCUPATIONS)]
            row = (user + 1, 18 + user % 50, gender, occupation, f"{user % 10**5:05d}")
            out.write("|".join(map(str, row)) + "\n")


def _write_ratings(folder: Path, config: SynthesisConfig) -> int:
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
