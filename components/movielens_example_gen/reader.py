"""Reads an edition, or a window of spans, into `RawData`: one interface for all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from components.movielens_example_gen import movies_file, ratings_file, users_file
from components.movielens_example_gen.bad_rows import BadRows
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.editions import (
    CSV_HEADER,
    FolderFiles,
    RatingScale,
)
from components.movielens_example_gen.joining import Source, compact, join_blocks
from components.movielens_example_gen.row_checks import Limits
from components.movielens_example_gen.tables import Movie, Ratings, RawData, User
from trainer.errors import UserError

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True)
class SpanFiles:
    """The files of one span.

    Attributes:
      span: Its number; 0 where there are no spans.
      files: What lies in its folder.
      version: The newest version within the span; None without versions.
    """

    span: int
    files: FolderFiles
    version: int | None = None


def read(spans: Sequence[SpanFiles], config: ExampleGenConfig, bad: BadRows) -> RawData:
    """Reads all files of the spans.

    Args:
      spans: Oldest first; what a newer one says about a movie or user replaces it.
      config: Column names, scale and policy.
      bad: Collects the rows that are refused, and decides when to stop.

    Raises:
      UserError: A file is missing, cannot be decoded, or has more bad rows than the
        policy accepts.
    """
    header = {**CSV_HEADER, **{str(k): name for k, name in config.columns.items()}}
    movies: dict[bytes, Movie] = {}
    users: dict[bytes, User] = {}
    sources: list[Source] = []
    num_read = 0
    for span in spans:
        files = span.files
        limits = Limits(_scale(files, config), int(time.time()) + _DAY_SECONDS)
        # Every file of a span, before one of its movies is replaced by a newer span's.
        movies.update(_read_movies(files, header, bad))
        for path in files.users:
            users.update(users_file.read_users(path, files.family, bad))
        for path in files.ratings:
            blocks, rows = ratings_file.read_ratings_file(
                path, files.family, limits, header, bad
            )
            sources += [Source(path, span.span, block) for block in blocks]
            num_read += rows
    _check_found(spans, movies, num_read)
    ratings = _drop_unlisted(join_blocks(sources), sources, movies, bad)
    bad.apply(num_read)
    num_good = len(ratings)
    odd = {
        "empty_titles": sum(not movie.title for movie in movies.values()),
        "movies_without_year": sum(movie.year is None for movie in movies.values()),
        "movies_without_genres": sum(not movie.genres for movie in movies.values()),
        "titles_under_two_ids": len(movies) - len({m.title for m in movies.values()}),
    }
    return RawData(ratings, movies, users, num_read, num_read - num_good, odd)


def _scale(files: FolderFiles, config: ExampleGenConfig) -> RatingScale:
    if config.rating_scale is None:
        return files.scale
    return RatingScale(*config.rating_scale)


def _read_movies(
    files: FolderFiles, header: dict[str, str], bad: BadRows
) -> dict[bytes, Movie]:
    movies: dict[bytes, Movie] = {}
    for path in files.movies:
        movies.update(movies_file.read_movies(path, files.family, header, bad))
    return movies


def _check_found(
    spans: Sequence[SpanFiles], movies: dict[bytes, Movie], num_read: int
) -> None:
    family = spans[-1].files.family
    for found, patterns in ((num_read, family.ratings), (movies, family.movies)):
        if not found:
            folders = sorted({str(p.parent) for s in spans for p in s.files.ratings})
            names, where = " or ".join(patterns), ", ".join(folders) or "the input"
            raise UserError(
                f"no rows in {names} of {where}",
                f"Add the missing file: the format is {family.name}.",
            )


def _drop_unlisted(
    ratings: Ratings,
    sources: Sequence[Source],
    movies: dict[bytes, Movie],
    bad: BadRows,
) -> Ratings:
    """Refuses ratings of movies that no movies file lists."""
    listed = np.array([movie in movies for movie in ratings.movie_ids], bool)
    if listed.all():
        return ratings
    unlisted_rows = np.flatnonzero(~listed[ratings.movies])
    starts = np.cumsum([0] + [source.block.table.num_rows for source in sources])
    owners = np.searchsorted(starts, unlisted_rows, side="right") - 1
    for row, owner in zip(unlisted_rows, owners, strict=True):
        source = sources[owner]
        movie = ratings.movie_ids[ratings.movies[row]]
        content = b",".join(
            str(source.block.table[name][int(row - starts[owner])]).encode()
            for name in source.block.table.column_names
        )
        bad.add(
            source.path,
            source.block.line(int(row - starts[owner])),
            "movie not listed",
            f"movie {movie.decode()} is in no movies file",
            content,
        )
    return compact(ratings.take(listed[ratings.movies]))
