"""Reads the files of an edition, or of a window of spans, into tables."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.inputs.editions import (
    CSV_HEADER,
    MOVIE,
    RATING,
    TIMESTAMP,
    USER,
)
from components.movielens_example_gen.inputs.spans import SpanFiles
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.movies_and_users import (
    read_movies,
    read_users,
)
from components.movielens_example_gen.readers.rating_files import (
    RatingsBlock,
    read_ratings_file,
)
from components.movielens_example_gen.readers.rating_rows import RowRules
from components.movielens_example_gen.tables import (
    Codes,
    Ids,
    Movie,
    Ratings,
    User,
    sorted_unique,
)
from trainer.errors import UserError
from trainer.movielens import OCCUPATIONS, RatingScale
from trainer.progress import Work

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True)
class RawData:
    """What was read from an edition or from a window of its spans.

    Attributes:
      ratings: All good rating rows, duplicates included.
      movies: Movie id to movie.
      users: User id to attributes, empty if the edition has none.
      num_read: Rating rows read, bad rows included.
      num_quarantined: Rating rows that were refused and set aside.
      odd_rows: Kind of oddity to the number of such movies or users, which were kept.
    """

    ratings: Ratings
    movies: dict[bytes, Movie]
    users: dict[bytes, User]
    num_read: int
    num_quarantined: int
    odd_rows: dict[str, int]


class _Reading:
    """How far the reading of the ratings is.

    Attributes:
      bytes_before: Bytes of the files that were read.
      rows: Rows that were read.
    """

    def __init__(self, all_bytes: int) -> None:
        self.bytes_before = self.rows = 0
        self._all_bytes = max(all_bytes, 1)
        self._work = Work("ratings")

    def report(self, position: int) -> None:
        """Takes the position in the file that is being read."""
        self._work.update((self.bytes_before + position) / self._all_bytes, self.rows)


def csv_header(config: ExampleGenConfig) -> dict[str, str | None]:
    """Returns our column names with the names in the header of CSV files, or None."""
    return {**CSV_HEADER, **{str(ours): name for ours, name in config.columns.items()}}


def read(spans: Sequence[SpanFiles], config: ExampleGenConfig, bad: BadRows) -> RawData:
    """Reads all files of the spans.

    Args:
      spans: Oldest first. A newer span's movies and users replace an older one's.
      config: Column names, rating scale and policy.
      bad: Collects the rows that are refused, and applies the policy.

    Raises:
      UserError: A file is missing, cannot be decoded, or has more bad rows than the
        policy accepts.
    """
    header = csv_header(config)
    movies, users = read_movies_and_users(spans, config, bad)
    blocks: list[RatingsBlock] = []
    span_of_block: list[int] = []
    latest = latest_timestamp()
    reading = _Reading(sum(p.stat().st_size for s in spans for p in s.files.ratings))
    for index, span in enumerate(spans):
        files = span.files
        rules = RowRules(scale_of(span, config), latest)
        for path in files.ratings:
            for block in read_ratings_file(
                path, files.family, rules, header, bad, report=reading.report
            ):
                blocks.append(block)
                reading.rows += block.num_read
            reading.bytes_before += path.stat().st_size
        span_of_block += [index] * (len(blocks) - len(span_of_block))
    num_read = sum(block.num_read for block in blocks)
    check_found(spans, movies, num_read, bad)
    ratings = drop_unlisted(join_blocks(blocks, span_of_block), blocks, movies, bad)
    bad.apply(num_read)
    odd = odd_rows(movies, users)
    return RawData(ratings, movies, users, num_read, num_read - len(ratings), odd)


def read_movies_and_users(
    spans: Sequence[SpanFiles], config: ExampleGenConfig, bad: BadRows
) -> tuple[dict[bytes, Movie], dict[bytes, User]]:
    """Reads the movies and users of all spans; the arguments are those of `read`."""
    header = csv_header(config)
    movies: dict[bytes, Movie] = {}
    users: dict[bytes, User] = {}
    for files in (span.files for span in spans):
        movies.update(read_movies(files.movies, files.family, header, bad))
        users.update(read_users(files.users, files.family, bad))
    return movies, users


def scale_of(span: SpanFiles, config: ExampleGenConfig) -> RatingScale:
    """Returns the rating scale of a span: the configured one, or the edition's own."""
    own_scale = config.rating_scale
    return RatingScale(*own_scale) if own_scale else span.files.scale


def latest_timestamp() -> int:
    """Returns the newest possible timestamp: clocks may differ by a day."""
    return int(time.time()) + _DAY_SECONDS


def odd_rows(movies: dict[bytes, Movie], users: dict[bytes, User]) -> dict[str, int]:
    """Counts movies and users that are kept with an oddity, by kind."""
    odd = {
        "empty_titles": sum(not movie.title for movie in movies.values()),
        "movies_without_year": sum(movie.year is None for movie in movies.values()),
        "movies_without_genres": sum(not movie.genres for movie in movies.values()),
        "titles_under_two_ids": len(movies) - len({m.title for m in movies.values()}),
    }
    if others := sum(user.occupation not in OCCUPATIONS for user in users.values()):
        odd["users_of_other_occupations"] = others  # the model cannot tell them apart
    return odd


def check_found(
    spans: Sequence[SpanFiles],
    movies: dict[bytes, Movie],
    num_read: int,
    bad: BadRows,
) -> None:
    """Checks that there are ratings and movies at all.

    Raises:
      UserError: The files hold no rows, or no good ones.
    """
    all_files = [span.files for span in spans]
    for found, name in ((num_read, "ratings"), (len(movies), "movies")):
        if found:
            continue
        paths = [str(p) for files in all_files for p in getattr(files, name)]
        if any(row.file in paths for row in bad.rows):
            bad.refuse(f"all rows of {name} are bad")
        raise UserError(
            f"no rows in {', '.join(paths)}",
            "The file has nothing but a header or blank lines: copy it again.",
        )


def join_blocks(blocks: Sequence[RatingsBlock], spans: Sequence[int]) -> Ratings:
    """Joins all blocks to one table, with ids as codes into sorted arrays.

    Since the ids are sorted, the codes do not depend on the order of rows and files.

    Args:
      blocks: The rows, of any number of files.
      spans: The index of the span that each block is from.
    """
    table = pa.concat_tables([b.table for b in blocks]).unify_dictionaries()
    users, user_ids = _codes(table[USER])
    movies, movie_ids = _codes(table[MOVIE])
    return Ratings(
        users,
        movies,
        table[RATING].to_numpy(),
        table[TIMESTAMP].to_numpy(),
        np.repeat(np.array(spans, np.int32), [b.table.num_rows for b in blocks]),
        user_ids,
        movie_ids,
    )


def _codes(column: pa.ChunkedArray) -> tuple[Codes, Ids]:
    joined = column.combine_chunks()
    stripped = [str(v).strip().encode() for v in joined.dictionary.to_pylist()]
    sorted_ids, new_code = sorted_unique(stripped)
    return new_code[joined.indices.to_numpy()], sorted_ids


def drop_unlisted(
    ratings: Ratings,
    blocks: Sequence[RatingsBlock],
    movies: Container[bytes],
    bad: BadRows,
) -> Ratings:
    """Refuses ratings of movies that no movies file lists."""
    listed = np.array([movie in movies for movie in ratings.movie_ids], bool)
    if listed.all():
        return ratings
    unlisted_rows = np.flatnonzero(~listed[ratings.movies])
    starts = np.cumsum([0] + [block.table.num_rows for block in blocks])
    owners = np.searchsorted(starts, unlisted_rows, side="right") - 1
    for row, owner in zip(unlisted_rows, owners, strict=True):
        block = blocks[owner]
        movie = ratings.movie_ids[ratings.movies[row]]
        row_in_block = int(row - starts[owner])
        content = b",".join(
            str(block.table[name][row_in_block]).encode()
            for name in block.table.column_names
        )
        bad.add(
            block.path,
            int(block.lines[row_in_block]),
            "movie not listed",
            f"movie {movie.decode()} is in no movies file",
            content,
        )
    kept = ratings.take(listed[ratings.movies])
    used_users, user_codes = np.unique(kept.users, return_inverse=True)
    used_movies, movie_codes = np.unique(kept.movies, return_inverse=True)
    return replace(
        kept,
        users=user_codes.astype(np.int32),
        user_ids=kept.user_ids[used_users],
        movies=movie_codes.astype(np.int32),
        movie_ids=kept.movie_ids[used_movies],
    )
